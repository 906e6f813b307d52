package data

// Vocabulary of labels on the platform, a part of each list, as MISP's
// threatmatch taxonomy prints it; some values end in a blank there too.
var (
	alertTypes = []string{
		"Actor Campaigns", "Credential Breach", "DDoS", "Exploit Alert", "General Notification", "Vulnerability",
		"Information Leakages", "Malware", "Suspicious Domain", "Phishing Attempts", "Supply Chain Event",
		"Threat Actor Update", "Direct Targeting ", "Insider Threat",
	}
	malwareTypes = []string{
		"Adware", "Backdoor", "Banking Trojan", "Botnet", "Destructive", "Downloader", "Exploit Kit", "Keylogger",
		"Legitimate Tool", "Mobile Malware", "Remote Access Trojan", "Rootkit", "Spyware", "Trojan", "Worm", "Unknown",
	}
	incidentTypes = []string{
		"ATM Attacks", "Botnet Activity", "Business Email Compromise", "Data Breach/Compromise", "DDoS",
		"Espionage Activity", "Exec Targeting ", "Phishing Activity", "Ransomware Activity", "Supply Chain Compromise",
	}
	sectors = []string{
		"Banking & Capital Markets", "Financial Services", "Insurance", "Government & Public Service",
		"Energy, Utilities & Mining", "Telecommunications", "Technology", "Academic/Research Institutes",
		"Aerospace, Defence & Security", "Automotive", "Charity/Not-for-Profit", "Education", "Healthcare",
		"Hospitality & Leisure", "Legal", "Pharmaceuticals & Life Sciences", "Retail & Consumer", "Transport & Logistics",
	}
	countries   = []string{"France", "Germany", "United Kingdom", "United States", "Japan", "Brazil", "South Korea", "Ukraine", "Poland", "Singapore"}
	regions     = []string{"Western Europe", "Eastern Asia", "Northern America", "Middle East"}
	motivations = []string{"Espionage", "Financial Gain", "Hacktivism", "Ideology", "Nation State", "Disruption"}
	otherLabels = []string{"Global", "Organisation", "High", "Nation State", "watchlist", "Q3 review"}
)

var (
	actorWords   = []string{"Amber", "Basalt", "Cobalt", "Dusty", "Ember", "Frozen", "Golden", "Hollow", "Iron", "Jade", "Karst", "Lunar"}
	animalWords  = []string{"Badger", "Crane", "Dingo", "Eagle", "Ferret", "Gecko", "Heron", "Ibis", "Jackal", "Kestrel", "Lynx", "Marten"}
	malwareWords = []string{"Loader", "Drop", "Bot", "RAT", "Stealer", "Locker", "Shell", "Kit"}
	operations   = []string{"Harvest", "Lighthouse", "Quiet River", "Red Anvil", "Silver Thread", "Winter Sun"}
	sentences    = []string{
		"The group uses spear-phishing mails with an attached archive.",
		"Activity was first seen by our analysts in the second quarter.",
		"Victims are organisations in finance & energy.",
		"Persistence is kept by a scheduled task that runs every hour.",
		"The operators reuse infrastructure between campaigns.",
		"Data is staged in C:\\ProgramData and sent out over HTTPS.",
		"Attribution is made with moderate confidence <50 %.",
		"L'activité a été observée à Genève et à München.",
		"Patches are available, and should be applied at once.",
	}
	techniques = []string{"T1566.001", "T1059.001", "T1053.005", "T1071.001", "T1041", "T1027", "T1190", "T1078", "T1486", "T1105"}
	phases     = []string{"initial-access", "execution", "persistence", "command-and-control", "exfiltration", "defense-evasion"}
)

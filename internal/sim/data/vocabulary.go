package data

// Vocabulary of labels on the platform, as MISP's threatmatch taxonomy prints
// it; some values end in a blank there too.
var (
	alertTypes = []string{
		"Actor Campaigns", "Credential Breach", "DDoS", "Exploit Alert", "General Notification", "Vulnerability",
		"Information Leakages", "Malware", "Suspicious Domain", "Forum Mention", "Phishing Attempts", "Social Media Alerts",
		"Supply Chain Event", "Technical Exposure", "Threat Actor Update", "Direct Targeting ", "Protest Activity",
		"Violent Event", "Strategic Event", "Insider Threat",
	}
	malwareTypes = []string{
		"Adware", "Backdoor", "Banking Trojan", "Botnet", "Destructive", "Downloader", "Exploit Kit", "Fileless Malware",
		"Keylogger", "Legitimate Tool", "Mobile Application", "Mobile Malware", "Point-of-Sale (PoS)", "Remote Access Trojan",
		"Rootkit", "Skimmer", "Spyware", "Surveillance Tool", "Trojan", "Virus", "Worm", "Zero-day", "Unknown",
	}
	incidentTypes = []string{
		"ATM Attacks", "ATM Breach", "Attempted Exploitation", "Botnet Activity", "Business Email Compromise", "Crypto Mining",
		"Data Breach/Compromise", "Data Dump", "Data Leakage", "DDoS", "Defacement Activity", "Denial of Service (DoS)",
		"Disruption Activity", "Espionage", "Espionage Activity", "Exec Targeting ", "Exposure of Data", "Extortion Activity",
		"Fraud Activity", "General Notification", "Hacktivism Activity", "Malicious Insider", "Malware Infection",
		"Man in the Middle Attacks", "MFA Attack", "Mobile Malware", "Phishing Activity", "Ransomware Activity",
		"Social Engineering Activity", "Social Media Compromise", "Spear-phishing Activity", "Spyware", "SQL Injection Activity",
		"Supply Chain Compromise", "Trojanised Software", "Vishing", "Website Attack (Other)", "Unknown",
	}
	sectors = []string{
		"Banking & Capital Markets", "Financial Services", "Insurance", "Pension", "Government & Public Service",
		"Diplomatic Services", "Energy, Utilities & Mining", "Telecommunications", "Technology", "Academic/Research Institutes",
		"Aerospace, Defence & Security", "Agriculture", "Asset & Wealth Management", "Automotive",
		"Business and Professional Services", "Capital Projects & Infrastructure", "Charity/Not-for-Profit", "Chemicals",
		"Commercial Aviation", "Commodities", "Education", "Engineering & Construction", "Entertainment & Media",
		"Forest, Paper & Packaging", "Healthcare", "Hospitality & Leisure", "Industrial Manufacturing", "IT Industry", "Legal",
		"Metals", "Pharmaceuticals & Life Sciences", "Private Equity", "Retail & Consumer", "Semiconductors",
		"Sovereign Investment Funds", "Transport & Logistics",
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

package mapping

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"threatmatch-connector/internal/stix"
)

// hostile are inputs written to break the rules, one object each, by what they try.
// What must be in the result follows >>, what must not follows !!; levels are
// written TLP-red, and relationships as "source name, type, target name".
const hostile = `
other names of what OpenCTI reads
malware "name":"Thing","files":[{"name":"x.html","data":"eA==","mime_type":"text/html"},{"name":"y.pdf","data":"eQ=="}] >> "x_opencti_files":[{"name":"y.pdf","data":"eQ==","mime_type":"application/pdf","no_trigger_import":true}] !! x.html
ipv4-addr "value":"192.0.2.1","x_opencti_files":[{"name":"z.pdf","data":"eg=="}],"files":[{"name":"y.pdf","data":"eQ=="}] >> z.pdf >> y.pdf !! "files"
malware "name":"Thing","x_opencti_files":[{"name":"z.pdf","data":"eg=="}],"extensions":{"extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba":{"files":[{"name":"y.pdf","data":"eQ=="},{"name":"x.svg","data":"eA=="}]}} >> z.pdf >> y.pdf !! x.svg
malware "name":"Thing","external_references":[{"source_name":"a","url":"https://r.example/","files":[{"name":"x.html","data":"eA==","mime_type":"text/html"}]}] >> https://r.example/ !! x.html
malware "name":"Thing","x_meta":[{"external_references":[{"files":[{"name":"x.html"}]}]}] !! x.html
malware "name":"Thing","external_references":[{"source_name":"a","external_id":"1"}],"x_opencti_external_references":[{"source_name":"b","url":"javascript:alert(1)"},{"source_name":"c","url":"https://c.example/"}] >> "source_name":"a" >> https://c.example/ !! javascript
malware "name":"Thing","x_opencti_kill_chain_phases":[{"phase_name":"nowhere"},{"kill_chain_name":"mitre-attack","phase_name":"impact"}] >> "kill_chain_phases":[{"kill_chain_name":"mitre-attack","phase_name":"impact"}] !! nowhere
external-reference "source_name":"a <b>b</b>","url":"javascript:alert(1)","files":[{"name":"x.html","data":"eA=="}] >> "source_name":"a b" !! javascript !! x.html
security-coverage "external_uri":"javascript:alert(1)" !! javascript
x-opencti-case-incident "x_opencti_content":"<img src=data:, onerror=alert(1)>words" >> "x_opencti_content":"words" !! onerror
x-opencti-task "x_opencti_content":"<p>words</p><script>alert(1)</script>" >> "description":"words" !! alert
note "content":"first","x_opencti_content":"<p>words</p><script>alert(1)</script>" >> "content":"first\n\nwords" !! alert
ipv4-addr "value":"192.0.2.1","granted_ref":"identity--00000000-0000-4000-8000-000000000002","object_assignee_refs":["identity--00000000-0000-4000-8000-000000000002"],"object_marking_ref":"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9","resolves_to_refs":["mac-addr--00000000-0000-4000-8000-000000000003"] >> "resolves_to_refs":["mac-addr--00000000-0000-4000-8000-000000000003"] !! granted !! assignee !! object_marking_ref"
addresses of references
malware "external_references":[{"source_name":"a","external_id":"1","url":"javascript:1/alert(1)"}] !! javascript
malware "external_references":[{"source_name":"a","external_id":"1","url":"Java\tScript:0;alert(1)"}] !! alert
malware "external_references":[{"source_name":"a","external_id":"1","url":"data:1"},{"source_name":"b","external_id":"1","url":"ms-msdt:1/id"}] !! data: !! msdt
malware "external_references":[{"source_name":"a","external_id":"1","url":"\\\\files.example\\share"}] !! share
malware "external_references":[{"source_name":"a","external_id":"1","url":"localhost:8080/x"},{"source_name":"b","url":"h.example:8080/javascript:x"}] >> localhost:8080/x >> h.example:8080/javascript:x
malware "external_references":[{"source_name":"a","external_id":"1","description":"<img src=x onerror=alert(1)>"}] !! onerror
malware "external_references":[{"source_name":"a","external_id":"1","description":"so &lt;img src=x onerror=alert(1)&gt;"}] >> so &lt;img src=x onerror=alert(1)>
markings
malware "labels":["ＴＬＰ：ＲＥＤ"] >> TLP-red
malware "labels":["tlp-2:red"] >> TLP-red
malware "labels":["Classification / TLP.RED"] >> TLP-red
malware "labels":["TLP RED - not for clients","TLP:GREEN"] >> TLP-red !! TLP-green
malware "labels":["tlp:ex:chr"] >> TLP-red
malware "labels":["Distribution: RED"] >> TLP-red
malware "labels":["Handling=amber+strict"] >> TLP-amber+strict
malware "labels":["Sharing: green","Data handling: red tape"] >> TLP-amber !! TLP-green !! TLP-red
malware "labels":["TLP:RED (strict)"] >> TLP-red !! TLP-amber
malware "labels":["PAP:RED"] >> TLP-amber >> "x_opencti_definition":"PAP:RED" >> marking-definition--4e4e3b84-de45-53df-9d9b-b21207699fd8
malware "labels":["pap=white"] >> "x_opencti_definition":"PAP:CLEAR"
malware "traffic_light_protocol":"red" >> TLP-red
malware "tlp":["green","red"] >> TLP-red
malware "x_threatmatch_tlp":{"colour":"red","caveat":"x"} >> TLP-red
malware "x_opencti_marking_definitions":["TLP:RED"] >> TLP-red
malware "x_tags":["a","TLP:RED"] >> TLP-red
malware "x_tags":["&#84;LP:RED"] >> TLP-red
malware "x_meta":{"access":["ＴＬＰ：ＲＥＤ"]} >> TLP-red
malware "x_meta":{"notes":["like TLP:RED, they say"]} >> TLP-amber !! TLP-red
malware "x_markings":[{"definition":"TLP:RED"}] >> TLP-red
malware "object_marking_refs":{"ref":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"} >> TLP-red
malware "object_marking_refs":[{"id":"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da","definition_type":"tlp","definition":{"tlp":"red"}}] >> TLP-red
malware "granular_markings":{"marking_ref":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"} >> "object_marking_refs":["TLP-red"]
malware "name":"[TLP:RED] Thing" >> TLP-red
malware "labels":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"] >> TLP-red
malware "x_marking":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed" >> TLP-red
malware "x_source":{"object_marking_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]} >> TLP-red
malware "extensions":{"extension-definition--00000001-0000-4000-8000-000000000001":{"extension_type":"property-extension","object_marking_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]}} >> TLP-red
malware "name":"Thing (TLP:AMBER+STRICT)" >> TLP-amber+strict
malware "description":"<p><b>TLP:RED</b>. For the recipients only.</p>" >> TLP-red
malware "description":"Classification: <b>TLP:RED</b><br>The loader" >> TLP-red
malware "description":"Distribution of a TLP:RED report" >> TLP-amber !! TLP-red
malware "labels":["Marking: TLP:GREEN | PAP:AMBER"] >> TLP-green >> "x_opencti_definition":"PAP:AMBER"
malware "labels":["TLP:RED","a pap smear: red"] !! PAP
malware "custom_properties":{"tlp":"red"} >> TLP-red
malware "x_meta":[{"marking":[{"x_tlp_2_0":"amber+strict"}]}] >> TLP-amber+strict
malware "external_references":[{"source_name":"A TLP:RED talk","external_id":"1","x":{"TLP":{"level":"Red"}}}] >> TLP-red
malware "external_references":[{"source_name":"A TLP:RED talk","external_id":"1"}] !! TLP-red
ipv4-addr "value":"192.0.2.1","x_opencti_description":"TLP:RED - for us alone" >> TLP-red
opinion "opinion":"agree","explanation":"[TLP:RED] for us alone" >> TLP-red
malware "description":"TLP:CLEAR is used here" >> TLP-amber !! TLP-clear
malware "description":"The actor leaked a TLP:RED report" >> TLP-amber !! TLP-red
malware "x_foo_refs":["identity--00000000-0000-4000-8000-000000000002","marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"] >> "object_marking_refs":["TLP-red"]
malware "x_foo_ref":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed" >> "object_marking_refs":["TLP-red"]
malware "x_meta":{"a":[{"b":"see Marking-Definition--5E57C739-391A-4EB3-B6BE-7D15CA92D5ED."}]} >> "object_marking_refs":["TLP-red"]
malware "extensions":{"extension-definition--00000001-0000-4000-8000-000000000001":{"extension_type":"property-extension","seen_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]}} >> "object_marking_refs":["TLP-red"]
malware "x_foo_ref":"marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003","labels":["TLP:GREEN"] >> "object_marking_refs":["TLP-amber+strict"]
malware "x_foo_ref":"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da" >> "object_marking_refs":["TLP-amber"]
malware "x_foo_ref":"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da","labels":["TLP:CLEAR"] >> "object_marking_refs":["TLP-green"]
malware "x_foo_ref":"marking-definition--00000000-0000-4000-8000-000000000009" >> "object_marking_refs":["TLP-amber"]
malware "x_foo_ref":"unmarking-definition--1 marking-definition--5e57c739" >> "object_marking_refs":["TLP-amber"]
malware "labels":["ТLР:RЕD"] >> TLP-red !! unread
malware "labels":["\u1d1b\u029f\u1d18:\u0280\u1d07\u1d05"] >> TLP-red !! unread
malware "labels":["T\u200bL\u00adP\u2060:R\ufe0fE\u0301D"] >> TLP-red !! unread
malware "labels":["T\u0000LP:R\bED"] >> TLP-red !! unread
malware "labels":["T.L.P.: RED"] >> TLP-red !! unread
malware "labels":["T L P : R E D"] >> TLP-red !! unread
malware "labels":["TLP:GR\u200bEEN"] >> TLP-green !! unread
malware "labels":["TLP:AMBER and STRICT"] >> TLP-amber+strict !! unread
malware "labels":["TLP:AMBER (strictly business)"] >> TLP-amber !! strict
malware "labels":["Marking: R\u200bED"] >> TLP-red
malware "labels":["mаrking‐definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"] >> TLP-red
malware "object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",{"id":"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9","marking_ref":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"}] >> TLP-red !! unread
malware "object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9","marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed\u200b"] >> TLP-red !! unread
malware "object_marking_refs":"[\"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9\", \"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed\"]" >> TLP-red !! unread
malware "object_marking_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"],"object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"] >> TLP-red >> values_repeated
malware "labels":["TLP:RED"],"labels":["x"] >> TLP-red
malware "x_foo":"as marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed","x_foo":"y" >> TLP-red !! unread
malware "labels":["\u202eDER:PLT"] >> TLP-red !! unread
malware "labels":["TLP\u202eDER:\u202c (DER:PLT)"] >> TLP-red !! unread
malware "labels":["\u202eNEERG:PLT\u202c and \u202eTLP:RED"] >> TLP-red !! unread
malware "name":"&#8238;DER:PLT&#8236; Thing" >> TLP-red
malware "labels":["&amp;#84;LP:RED"] >> TLP-red !! unread
malware "labels":["&amp;amp;#x54;LP&amp;amp;colon;RED"] >> TLP-red !! unread
malware "labels":["DER:PLT"] !! TLP-red
malware "granular_markings":[{"marking_ref":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"}],"granular_markings":[] >> TLP-red
malware "granular_markings":[{"marking_ref":"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed","marking_ref":"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"}] >> TLP-red !! unread
malware "granular_markings":[{"lang":"en","markings":["TLP:GREEN"]}] >> TLP-red >> unread
malware "granular_markings":[{"lang":"en","selectors":["description"],"marking_ref":""}] >> TLP-amber !! unread
malware "object_marking_refs":"" >> "object_marking_refs":["TLP-amber"] !! unread
malware "object_marking_refs":[{"id":"","for":"partners"}] >> TLP-red >> unread
malware "granular_markings":[{},""] >> TLP-amber !! unread
malware "granular_markings":[{"selectors":["description"],"marking_ref":""}] >> TLP-red >> unread
malware "Object_Marking_Refs":"R\u200bED" >> TLP-red !! unread
malware "objectMarking":"secret" >> TLP-red >> unread
malware "x_opencti_marking_definitions":["secret"] >> TLP-red >> unread
malware "x_meta":[{"markings":[7]}] >> TLP-red >> unread
malware "x_marking":"green" >> TLP-amber !! unread
malware "x_marking":"" >> TLP-amber !! unread
malware "x_marking_count":7,"x_watermarking":"secret","x_classification":"secret" >> TLP-amber !! unread
malware "tlpLevel":"RED" >> TLP-red !! unread
malware "TLPLevel":"RED" >> TLP-red !! unread
malware "ｔｌｐ":"RED" >> TLP-red !! unread
malware "сlassification":"RED" >> TLP-red !! unread
malware "name":"T\u200bLP:RЕD Thing" >> TLP-red
malware "name":"Thing - TLP:RED" >> TLP-red
malware "name":"Thing – TLP:AMBER+STRICT." >> TLP-amber+strict
malware "name":"Traffic Light Protocol: Red. Thing" >> TLP-red
malware "name":"T L P : R E D Thing" >> TLP-red
malware "description":"<p>A thing.</p><p>TLP:RED</p>" >> TLP-red
malware "description":"A thing.\n\nTLP:RED" >> TLP-red
malware "description":"A thing. TLP: RED" >> TLP-red
malware "description":"A thing that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that does this and that. TLP:RED" >> TLP-red
malware "description":"They leaked it under TLP:RED" >> TLP-amber !! TLP-red
malware "description":"A light protocol - red, marking strict traffic" >> TLP-amber !! TLP-red
malware "description":"See http://www.tlp.red/apt1-tlp-red" >> TLP-amber !! TLP-red
malware "labels":[{"tlp":"red"}] >> TLP-red !! unread
malware "name":"Отчет TLP:RED о группе" >> TLP-red
malware "labels":["T. L. Peterson","U.S.A."] >> TLP-amber !! TLP-red
report "object_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"] >> "object_marking_refs":["TLP-amber"]
free text
malware "labels":["TLP:RED","Targeted Sector: Bank of Foo, Legal; Our client Bar"] >> identity Our client Bar TLP-red >> identity Legal TLP-clear !! Bank of Foo
malware "labels":["TLP:RED","Country: Republic of Contoso"] !! TLP-clear !! Contoso
report "labels":["TLP:RED","Industry: The client's ATM fleet"] >> identity The client's ATM fleet TLP-red !! TLP-clear
threat-actor "labels":["TLP:RED","Motivation: revenge on Contoso","Target: Contoso plc"] !! Contoso !! TLP-clear
incident "labels":["TLP:RED","Incident type: breach of Contoso","Victim: Contoso","Customer - Contoso"] !! Contoso !! TLP-clear
words of texts
malware "description":"The loader drops <svg onload> handlers and <marquee> then calls home" >> handlers and &lt;marquee> then calls home
malware "description":"Use <textarea> to inject <noscript>payload</noscript> and <template>x</template> words after" >> payload >> words after
malware "description":"curl http://h/?a=<b>&c=<d> then reboot now" >> http://h/?a=&lt;b>&c=&lt;d> then reboot now
malware "description":"<p>start</p><![CDATA[ some words ]]> tail <?php echo words ?> after" >> some words >> php echo words >> after
malware "description":"<p>x</p><select><option>One<option>Two</select><object data=x>fallback words</object> end" >> One >> Two >> fallback words >> end
malware "description":"<p>uses <scr<script>ipt>alert one</script> to bypass</p>" >> alert one >> to bypass
malware "description":"<p><img src='data:image/png;base64,A' alt='in'><img src='data:image/png;base64,A' alt='svg'>w</p>" >> in svg w
addresses in texts
malware "description":"<p>http://h/a_b_c*d*e and hxxp[:]//x_y_z[.]com/a_b_c</p>" >> http://h/a_b_c*d*e >> hxxp[:]//x_y_z[.]com/a_b_c
malware "description":"<p>C:\\Windows\\Temp\\a_b_c.exe and %APPDATA%\\__x__\\y.dll</p>" >> C:\\Windows\\Temp\\a_b_c.exe >> %APPDATA%\\__x__\\y.dll
malware "description":"<p>HKLM\\Software\\a_b_c, \\\\server\\share_a_b, user_name_x@bad_host.example</p>" >> \\\\server\\share_a_b >> user_name_x@bad_host.example
malware "description":"<p>*.docx and cmd.exe /c del *.* &amp; exit</p>" >> *.docx >> *.* >> & exit !! \\*
malware "description":"<p>www.bad_site_x.example/a_b_c?x=1*2*3#_top_ (see ftp://u_x:p_y@h/_a_)</p>" >> www.bad_site_x.example/a_b_c?x=1*2*3#_top_ >> ftp://u_x:p_y@h/_a_
malware "description":"<p>bc1q_x_y_z, foo_bar_baz(), T1566_001</p>" >> bc1q_x_y_z, foo_bar_baz(), T1566_001
texts in Markdown
malware "description":"# Title\n\n- a\n- b <br> c\n\n1. one\n\n[l](http://x.example/a_b) **b** <i>x</i> _it_" >> # Title\n\n- a\n- b >> 1. one\n\n[l](http://x.example/a_b) **b** *x* _it_
malware "description":"| a | b |\n|---|---|\n| 1<br>2 | [x](http://y.example) |\n\nText<br>more" >> | 1 2 | [x](http://y.example) |\n\nText  \nmore
malware "description":"Intro with <b>bold</b>.\n\n## Head\n\n* x\n  * y" >> Intro with **bold**.\n\n## Head\n\n* x\n  * y
malware "description":"**Note:** see [ref][1] &amp; <i>more</i>\n\n[1]: http://z.example/a_b_c" >> **Note:** see [ref][1] & *more*\n\n[1]: http://z.example/a_b_c
malware "description":"<u>x</u>\n\n~~~\n<p>code</p>\n~~~\n\n> quote" >> ~~~\n<p>code</p>\n~~~\n\n> quote
lists in labels
threat-actor "labels":["Targeted countries: Korea, Republic of; Korea, North; Iran, Islamic Republic of"] >> Thing targets South Korea >> Thing targets North Korea >> Thing targets Iran
threat-actor "labels":["TLP:RED; Sector: Legal; Retail"] >> TLP-red >> identity Legal >> identity Retail !! TLP-amber
threat-actor "labels":["Sector: Retail | Country: France; Country of origin: Iran"] >> identity Retail >> Thing targets France >> Thing originates-from Iran !! Thing targets Iran
threat-actor "labels":["France | Spain|TLP:GREEN | Germany &amp; Italy; PAP:RED;"] >> TLP-green >> Thing targets France >> Thing targets Spain >> Thing targets Germany >> Thing targets Italy >> PAP:RED
threat-actor "labels":["TLP:AMBER (recipients only; do not forward)"] >> TLP-amber !! targets
threat-actor "labels":["Country: Bosnia and Herzegovina and Serbia"] >> Thing targets Bosnia & Herzegovina >> Thing targets Serbia
threat-actor "labels":["Country: Guinea, Guinea-Bissau and Equatorial Guinea"] >> targets Guinea >> targets Guinea-Bissau >> targets Equatorial Guinea
threat-actor "labels":["Country: Tanzania, United Republic of + Moldova, Republic of"] >> targets Tanzania >> targets Moldova
threat-actor "labels":["Country: Virgin Islands, U.S.; Virgin Islands, British"] >> targets U.S. Virgin Islands >> targets British Virgin Islands
threat-actor "labels":["Sector: Energy, Utilities & Mining, Legal and Forest, Paper & Packaging"] >> targets Energy, Utilities & Mining >> targets Legal >> targets Forest, Paper & Packaging
threat-actor "labels":["Countries: Congo, the Democratic Republic of the, and Rwanda"] >> targets Democratic Republic of the Congo >> targets Rwanda
origins
threat-actor "labels":["Attributed to: China","China"] >> Thing originates-from China !! targets
threat-actor "labels":["Nationality: China","PRC","Taiwan"] >> Thing originates-from China >> Thing targets Taiwan !! targets China
threat-actor "labels":["Origin country: Iran; Iraq","Iran","Iraq","Israel"] >> originates-from Iran >> originates-from Iraq >> targets Israel !! targets Ira
threat-actor "labels":["State sponsor: Russia","Russian Federation"] >> originates-from Russia !! targets
threat-actor "labels":["Based in - Belarus","Belarus"] >> originates-from Belarus !! targets
values
sighting "sighting_of_ref":"malware--00000000-0000-4000-8000-000000000002","count":"1e3","first_seen":"2024-05-01","last_seen":"2024-04-01T00:00:00Z" >> "count":1000 >> "where_sighted_refs":["identity !! last_seen
report "object_refs":"malware--00000000-0000-4000-8000-000000000002","created_by_ref":["identity--00000000-0000-4000-8000-000000000005"] >> "object_refs":["malware--00000000-0000-4000-8000-000000000002"] >> "created_by_ref":"identity--00000000-0000-4000-8000-000000000005"
vulnerability "name":"CVE-2024-1","x_opencti_cisa_kev":"yes","x_opencti_epss_score":"97%" >> "x_opencti_cisa_kev":true >> "x_opencti_epss_score":0.97
malware "is_family":"Yes","confidence":"very high" >> "is_family":true >> "confidence":95
malware "confidence":"85/100" >> "confidence":85
malware "confidence":"4 out of 5" >> "confidence":80
autonomous-system "number":"AS 1.10" >> "number":65546
location "name":"London","latitude":"51.5N","longitude":"0.1 W" >> "latitude":51.5 >> "longitude":-0.1
network-traffic "src_port":"443/tcp","protocols":"tcp" >> "src_port":443
note "content":" ","abstract":"Abs","object_refs":["malware--00000000-0000-4000-8000-000000000002"] >> "content":"Abs"
markup written with escapes
report "name":"R\u0026amp;D","description":"one \u003cscript\u003ealert(1)\u003c/script\u003e\u003cb\u003etwo\u003c/b\u003e" >> R&D >> "description":"one **two**" !! alert
addresses of links
report "content":"<p><img src=' DATA:IMAGE/JPEG;base64,/9j/AAAA ' alt='j'></p>" >> data:image/jpeg;base64,/9j/AAAA
names that join
attack-pattern "name":"T1566/001 Spearphishing" >> "name":"Spearphishing","x_mitre_id":"T1566.001"
attack-pattern "name":"ATT&CK T1059.001: PowerShell" >> "name":"PowerShell","x_mitre_id":"T1059.001"
attack-pattern "x_mitre_id":"t1566/001","kill_chain_phases":[{"kill_chain_name":"enterprise-attack","phase_name":"TA0001"}] >> "T1566.001" >> initial-access
course-of-action "name":"User Training [M1017]" >> "name":"User Training","x_mitre_id":"M1017"
vulnerability "name":"CVE–2021–44228" >> "name":"CVE-2021-44228"
identity "identity_class":"organization","labels":["Sector: Legal","France"] >> Thing part-of Legal >> Thing located-at France
`

// TestHostileInputs maps each of them as a profile's only object.
func TestHostileInputs(t *testing.T) {
	m, err := New(Settings{ThreatActorAsIntrusionSet: true, URL: "https://tm.example"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range lines(hostile) {
		given, rules, ok := strings.Cut(line, " >> ")
		rules = " >> " + rules
		if i := strings.Index(given, " !! "); i >= 0 || !ok {
			if i < 0 {
				continue // a heading
			}
			given, rules = line[:i], line[i:]
		}
		n++
		typ, body, _ := strings.Cut(given, " ")
		if !strings.Contains(body, `"name"`) && typ != "autonomous-system" {
			body = `"name":"Thing",` + body
		}
		r := m.Map(Source{Dataset: "profiles", ID: "9"}, []byte(fmt.Sprintf(`{"objects":[{"type":%q,"id":"%s--00000000-0000-4000-8000-000000000001",
			"created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z",%s}]}`, typ, typ, body)))
		got := legible(r)
		for rules != "" {
			not := strings.HasPrefix(rules, " !! ")
			rule := rules[4:]
			end := len(rule)
			for _, mark := range [...]string{" >> ", " !! "} {
				if i := strings.Index(rule, mark); i >= 0 && i < end {
					end = i
				}
			}
			rules, rule = rule[end:], rule[:end]
			if strings.Contains(got, rule) == not {
				t.Errorf("%s\ngot  %s\nwant %q there: %v", given, got, rule, !not)
			}
		}
	}
	if n < 70 {
		t.Errorf("only %d inputs were read", n)
	}
}

// TestMovedTextIsConverted: what the text of a reference brings into the description of a relationship is converted
// like any description.
func TestMovedTextIsConverted(t *testing.T) {
	m, err := New(Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "May 2024"} {
		r := m.Map(Source{Dataset: "profiles", ID: "9"}, []byte(`{"objects":[{"type":"relationship","id":"relationship--00000000-0000-4000-8000-000000000001",
			"created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z","relationship_type":"uses",
			"source_ref":"malware--00000000-0000-4000-8000-000000000002","target_ref":"tool--00000000-0000-4000-8000-000000000003",
			"external_references":[{"source_name":"`+name+`","description":"in May 2024<script>alert(1)</script>"}]}]}`))
		if got := r.Objects[0].String("description"); got != name+": in May 2024" {
			t.Errorf("the description is %q, want what stands before the script", got)
		}
	}
}

// TestRefusedTypeIsConverted: the type of a relationship that OpenCTI refuses is converted like any text on its way
// into the description.
func TestRefusedTypeIsConverted(t *testing.T) {
	m, err := New(Settings{})
	if err != nil {
		t.Fatal(err)
	}
	rel := stix.New("relationship", "relationship--00000000-0000-4000-8000-000000000001")
	rel.Set("relationship_type", "uses <script>alert(1)</script>")
	rel.Set("source_ref", "malware--00000000-0000-4000-8000-000000000002")
	rel.Set("target_ref", "tool--00000000-0000-4000-8000-000000000003")
	m.Settle(rel, func(string) string { return "" })
	if got, want := rel.String("description"), "Original relationship type: uses"; got != want {
		t.Errorf("the description is %q, want %q", got, want)
	}
}

// legible writes a result for people: levels by name, made entities by name, and
// relationships between names.
func legible(r Result) string {
	names := map[string]string{}
	for _, o := range r.Objects {
		names[o.ID()] = o.String("name")
	}
	var b strings.Builder
	for _, o := range r.Objects {
		switch {
		case o.Type() == "relationship":
			fmt.Fprintf(&b, "%s %s %s\n", names[o.String("source_ref")], o.String("relationship_type"), names[o.String("target_ref")])
		case o.String("created") == epoch && o.Type() != "marking-definition":
			fmt.Fprintf(&b, "%s %s %s\n", o.Type(), o.String("name"), strings.Join(o.Strings("object_marking_refs"), " "))
		default:
			b.Write(append(o.AppendJSON(nil), '\n'))
		}
	}
	for _, name := range []string{"markings_unreadable", "values_repeated"} {
		if r.Counts[name] > 0 {
			b.WriteString(name)
		}
	}
	text := b.String()
	for _, level := range []string{"clear", "green", "amber", "amber+strict", "red"} {
		tlp, _ := stix.FindTLP(level)
		text = strings.ReplaceAll(text, tlp.ID, "TLP-"+level)
	}
	return text
}

// TestLongTextAsReference: a text in place of a reference becomes its description, and its id too unless it is long.
func TestLongTextAsReference(t *testing.T) {
	m, err := New(Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for n, long := range map[int]bool{250 - len(`""`): false, 251 - len(`""`): true} {
		text := strings.Repeat("x", n)
		r := m.Map(Source{}, []byte(`{"objects":[{"type":"tool","id":"tool--00000000-0000-4000-8000-000000000001","name":"xx","external_references":["`+text+`"]}]}`))
		raw, _ := r.Objects[0].Get("external_references")
		if got := string(raw); !strings.Contains(got, `"description":"`+text+`"`) || strings.Contains(got, `"external_id":"`+text+`"`) == long ||
			strings.Contains(got, `"external_id":"external-reference--`) != long {
			t.Errorf("a text of %d bytes became %s", n, got)
		}
	}
}

// padding makes the texts of an object too long to be converted.
var padding = `"explanation":"` + strings.Repeat("x", textsMost) + `",`

// TestTextsAsTheyAre: texts that are too long to be converted keep every sign, where
// OpenCTI shows them.
func TestTextsAsTheyAre(t *testing.T) {
	t.Parallel()
	m := newMapper(t, []byte(`{}`))
	text := `<b>x</b> & \"y\" a < b <3 1[.]2 [1] (2)\n`
	want := "< b>x< /b> & \"y\" a < b <3 1[.]2 [1] (2)\n"
	for _, c := range []struct{ typ, members, key, want string }{
		{"report", `"description":"` + text + `"`, "description", want},
		{"report", `"content":"` + text + `","description":"<b>x</b>"`, "x_opencti_content", want},
		{"report", `"content":"` + text + `","x_opencti_content":"a <b"`, "x_opencti_content", "a < b\n\n" + want},
		{"note", `"content":"` + text + `<"`, "content", want + "< "},
		{"malware", `"content":"` + text + `","description":"a <"`, "description", "a < \n\n" + want},
		{"malware", `"content":"` + text + `"`, "description", want},
		{"file", `"content":"` + text + `"`, "x_opencti_description", want},
	} {
		r := m.Map(Source{}, largeBody(c.typ, c.members[:1]+padding[1:]+c.members))
		if len(r.Objects) != 1 || r.Counts["texts_unconverted"] != 1 || len(r.Dead) != 0 {
			t.Fatalf("%s: %d objects, %v, %d dead letters", c.typ, len(r.Objects), r.Counts, len(r.Dead))
		}
		o := r.Objects[0]
		if got := o.String(c.key); got != c.want {
			t.Errorf("%s: got %q as %s, want %q", c.typ, got, c.key, c.want)
		}
		if o.Has("content") && c.typ != "note" {
			t.Errorf("%s: the content is still there", c.typ)
		}
	}
}

// TestNothingActsAsItIs: in texts that are too long to be converted nothing is a tag, a
// link or a picture, whoever leaves out what cannot be seen, and no sign is lost.
func TestNothingActsAsItIs(t *testing.T) {
	t.Parallel()
	m := newMapper(t, []byte(`{}`))
	samples := []string{"[x](javascript:alert(1))", "![p](https://x.example/p.png)", `[x][1]\n\n[1]: javascript:alert(1)`, `[x]\u0000(javascript:x)`,
		`[x]\u0028file:///x)`, `[x]\u005b1]`, `[x]\u003a javascript:x`, "<javascript:alert(1)>", "<https://x.example/>", "<x@y.example>", `<\u0000script>x`,
		`\u003cscript>x</script>`, `\u003c\u0073cript>`, `<\u002fscript>`, "&lt;script&gt;x", "&#60;script>x", "<!--", "-->", "<?x?>", "<![CDATA[x]]>",
		`<img title=\"<\" src=x onerror=x>`, "<scr<script>ipt>", "<<b>", `<\u0007b>`, "<textarea>", "<plaintext>", "]]]](x", "<"}
	for line := range lines(hostile) {
		members, _, _ := strings.Cut(line, " >> ")
		for _, s := range regexp.MustCompile(`:"(?:[^"\\]|\\.)*"`).FindAllString(members, -1) {
			samples = append(samples, s[2:len(s)-1])
		}
	}
	text := strings.Join(samples, `\n`) + strings.Join(samples, "")
	for _, typ := range []string{"report", "note", "malware", "file"} {
		r := m.Map(Source{}, largeBody(typ, `"description":"`+text+`","x_opencti_description":"`+text+`","content":"script>`+text+`","x_opencti_content":"`+text+`<",`+
			padding[:len(padding)-1]))
		if len(r.Objects) != 1 {
			t.Fatalf("%s: %v", typ, r.Dead[0].Reason)
		}
		o, size := r.Objects[0], 0
		for _, key := range []string{"description", "x_opencti_description", "content", contentKey} {
			got := strings.ReplaceAll(o.String(key), "\x00", "")
			size += len(strings.Join(strings.Fields(got), ""))
			if found := regexp.MustCompile(`\][[(:].{0,30}`).FindString(got); found != "" {
				t.Errorf("%s: %s has %q", typ, key, found)
			}
			for z := html.NewTokenizer(strings.NewReader(got)); ; {
				kind := z.Next()
				if kind == html.ErrorToken {
					break
				}
				if kind != html.TextToken {
					t.Errorf("%s: %s has the tag %s", typ, key, z.Raw())
				}
			}
		}
		raw, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(text, `\/`, "/"), `\u0000`, "") + `"`)
		if want := 4*len(strings.Join(strings.Fields(raw), "")) + len("script><"); size != want || err != nil {
			t.Errorf("%s: %d signs, want %d (%v)", typ, size, want, err)
		}
	}
}

// TestLongNames: a long pattern is not the name of its indicator, nor does a text that
// stands for a missing one double its object.
func TestLongNames(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	whole := "[a:b='" + strings.Repeat("é", 245) + "']"
	for pattern, want := range map[string]string{
		whole: whole,
		"[a:b='" + strings.Repeat("x", 600) + "']":  "[a:b='" + strings.Repeat("x", 494) + "…",
		"[a:b='x" + strings.Repeat("é", 600) + "']": "[a:b='x" + strings.Repeat("é", 246) + "…", // not half a letter
	} {
		o := m.Map(Source{}, largeBody("indicator", `"name":"","pattern":"`+pattern+`"`)).Objects[0]
		if got := o.String("name"); got != want || o.String("pattern") != pattern {
			t.Errorf("got the name %q, want %q", got, want)
		}
	}
	for _, n := range []int{1000, 3 * contentMost} {
		o := m.Map(Source{}, largeBody("note", `"abstract":"`+strings.Repeat("é", n/2)+`"`)).Objects[0]
		if got := len(o.String("content")); got != min(n, contentMost+len("…")) || len(o.String("abstract")) != n {
			t.Errorf("an abstract of %d bytes gives a content of %d", n, got)
		}
	}
	for typ, id := range map[string]string{"vulnerability": "CVE-2020-12345 ", "attack-pattern": "T1566.001 "} {
		name := id + strings.Repeat("x", joinMost)
		o := m.Map(Source{}, largeBody(typ, `"name":"`+name+`","external_references":[{"source_name":"mitre-attack","external_id":"T1059"},{"source_name":"cve","external_id":"CVE-2020-9999"}]`)).Objects[0]
		if got := o.String("name"); got != name || typ == "attack-pattern" && o.String("x_mitre_id") != "T1059" {
			t.Errorf("got the name %.50s… and the id %q, want the name as it is", got, o.String("x_mitre_id"))
		}
	}
	for n, want := range map[int]int{900: 900, 8000: 0} {
		id := strings.Repeat("x", n)
		for _, rest := range []string{"", `,"type":"tool","error":"gone"`} {
			if d := m.Map(Source{}, []byte(`{"objects":[{"id":"`+id+`"`+rest+`}]}`)).Dead; len(d) != 1 || len(d[0].ID) != want || len(d[0].Raw) < n {
				t.Errorf("an id of %d bytes: %d dead letters, want one with an id of %d", n, len(d), want)
			}
		}
	}
}

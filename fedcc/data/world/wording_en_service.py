"""English wording of matters about lines, networks, security and service; see `wording_en`."""

MATTERS = {
    "port_in": """
        ~[bring|keep|transfer|port] my [old |]number [from <rival>|over to you|to you|]
        ~[switch|move|come over] to you [from <rival> |]and keep my number
        !port my number [in|from <rival>|over] [to you|to my new sim|]
        [when|how long until] [will|does] my [old |]number [from <rival> ][arrive|work|come over]
        [i have|here is|i got] the [porting|transfer|switching] code from <rival> [for you|]
        my [old |]number is still [with|at] <rival> [, when does it come|and should be with you]
        [where|to whom] do i [give|send|enter] the [porting|transfer] code [of <rival>|]
        the [transfer|port] of my number [from <rival> ][failed|is late|was refused]
        [i joined you|i am new with you] and want my old number on [the new sim|this phone]
    """,
    "port_out": """
        ~[take|transfer|port|move] my number [away |][to <rival>|to another operator]
        ~[get|have|request] [a|my|the] [porting|transfer|switching] code [to go to <rival>|]
        !send me [a|the|my] [porting|transfer|switching] code [for <rival>|]
        [where|how] do i [find|get|request] my [porting|transfer|switching] code
        <rival> [wants|needs|asks for] [a|the] [porting|transfer] code from you
        [i am going|i'm switching|i am moving] to <rival> and [keep|want to keep] my number
        [please |]release my number [to <rival>|for the transfer|]
        [why have you|you have] [blocked|refused] the transfer of my number to <rival>
        [what does it cost|how long does it take] to [take|move] my number to <rival>
    """,
    "sim_replacement": """
        ~[replace|swap|change] my [sim|sim card] [because it is [broken|damaged|too big]|]
        ~[activate|register|start] [my|the] new [sim|sim card|esim]
        ~[get|order|have] [a new|a replacement|another] sim [card |][for my <device>|for my number|]
        ~[switch|change] to [an esim|a smaller sim]
        !send me [a new|a replacement] sim [card|]
        !activate [my|the|this] [new |][sim|esim]
        my [sim|sim card] [is broken|is damaged|does not work] [any more|, i need a new one]
        my phone says [no sim|sim error|invalid sim] [<a_while>|]
        [the new sim|my new sim|the esim] [has arrived|came today] [but is not active|, what now|]
        [i need|i lost] [the|my] [puk|pin] [of|for] [the|my] sim
        how long does it take until the new sim [works|is active|arrives]
    """,
    "lost_or_stolen": """
        ~[block|lock|bar] my [phone|sim|number] because [it was stolen|i lost it|it is gone]
        ~[report|say that] [my|a] [phone|<device>] [lost|stolen|is missing]
        !block [my|the] [sim|phone|number] [at once|right now|] , [i lost it|it was stolen]
        [i lost|i have lost|i left] my [phone|<device>] [on the bus|in a taxi|in <country>|]
        my [phone|<device>] [was|has been|got] stolen [on <day>|in <country>|last night|]
        [someone|somebody] [stole|took] my [phone|<device>] [out of my bag|on <day>|]
        [can you|is there a way to] [find|locate|track] my [lost|stolen|missing] phone
        [i found my phone|my phone is back] [, please unblock it|and want it unlocked again]
        [i can't|i cannot] find my phone anywhere [, please lock the sim|since <day>]
    """,
    "roaming": """
        ~[use|have] my [phone|data|plan] [in <country>|abroad|on holiday]
        ~[switch on|activate|turn on|buy] [roaming|data roaming|a travel pass] [for <country>|]
        ~[know|check] [what|how much] roaming [costs|is] [in <country>|]
        !switch [on|off] roaming [for my number|in <country>|]
        [how much|what] [is|does] [data|the internet|a call home] [cost |]in <country>
        [does|will] my [phone|plan|data] work [in <country>|abroad|when i travel]
        [is <country>|are calls in <country>] [included|covered] [in my <plan>|]
        [my phone|my data|the internet] does not work [in <country>|here in <country>|abroad]
        [i am|i'm] in <country> and [cannot|can't] [get online|use my data|send texts]
        [do i have to|should i] switch on [anything|roaming] before i [fly|travel] to <country>
        [do you have|is there] a [travel pass|roaming pass|day pass] for <country>
    """,
    "international_calls": """
        ~[call|ring|phone] [my <relative> in <country>|a number in <country>|abroad from here]
        ~[know|check] [what|how much] [calls|a minute] to <country> [cost|is]
        ~[add|get|book] [minutes|an option|a bundle] [for calls |]to <country>
        !unlock [calls abroad|international calls|calls to <country>] [for my number|]
        how much [is|does] [a call|a minute|it cost to call] to <country> [cost|from here|]
        [i can't|why can't i] [call|reach] [numbers|my <relative>] in <country>
        [do you have|is there] [a pack|an option|a plan] [with|for] [minutes|calls] to <country>
        [are|is] [calls|a call] to <country> [included|in my <plan>|free]
        calls to <country> [do not go through|are blocked|break off]
    """,
    "data_top_up": """
        ~[buy|get|add|book] [more data|extra data|<gigas> more|<gigas> extra|a data pack]
        ~[top up|recharge|put credit on] [my phone|my account|my number|with <amount>]
        ~[know|check|see] how much [data|credit] i have [left|]
        !add [<gigas>|more data|<amount> of credit] to my [number|plan|account]
        my data [is used up|is gone|ran out|is finished] [already|before the end of the month|]
        [i have run|i ran] out of [data|credit] [, can i get more|this month|]
        how much [data|credit] [do i have left|is left] [this month|]
        [what does|how much is] [<gigas> more|an extra <gigas>|a data pack] [cost|]
        [my top-up|the top-up of <amount>|my voucher] [did not arrive|does not work|is not there]
        [i need|i want] [<gigas> more|more data|a top-up] [until <day>|today|]
    """,
    "voicemail": """
        ~[set up|switch on|switch off|turn off|reach] [my|the] [voicemail|mailbox]
        ~[listen to|hear|get] my [voicemail|messages|voice messages]
        ~[change|record|delete] [my|the] [greeting|voicemail greeting|mailbox greeting]
        !switch [my|the] voicemail [off|on] [please|]
        [what is|which is] the number of the [voicemail|mailbox]
        [i can't|i cannot] [listen to|hear|get at] my [messages|voicemail] [any more|]
        my voicemail [is full|asks for a pin|does not answer|does not pick up]
        [callers|people|my <relative>] [cannot|can't] leave [me |]a [message|voice message]
        [i forgot|what is] the pin of my [voicemail|mailbox]
        [after how many rings|when] does the [voicemail|mailbox] [answer|start]
    """,
    "no_signal": """
        ~[get|have] [some |better |]signal <place>
        !check [the mast|the network|the coverage] [near me|where i live|] , my phone has no signal
        [i have|there is] no [signal|reception|service|bars] [<place>|on my phone] [<a_while>|]
        my [phone|<device>] [has|shows|says] no [service|signal|reception] [<place>|<a_while>|]
        i [can't|cannot] [make calls|call anyone|send texts] [<place>|<a_while>|, there are no bars]
        [calls|my calls] [drop|break off|cut out] [<place>|all the time|after a minute]
        [the signal|the reception|mobile reception] is [terrible|very weak|gone] <place>
        why [is|do i have] [the|such a bad|no] [reception|signal] [so bad |]<place>
        my phone [only says|is stuck on] emergency calls [only|] [<a_while>|]
        [is there|do you have] [coverage|a mast|reception] <place>
    """,
    "slow_internet": """
        ~[get|have] the speed [i pay for|of my contract|that was promised]
        !check [why|my line because] [the|my] <internet> is [so slow|slow|crawling]
        [the|my|our] <internet> is [very |so |][slow|sluggish] [<place>|<a_while>|at night|]
        [i pay for|i should have|my plan says] <speed> but [i get|only get|it is only] <speed>
        why is [the|my|our] <internet> [so slow|slower than before|slow every evening]
        [videos|films|video calls|web pages] [keep buffering|freeze|take ages|stutter] [<place>|]
        [the|my] [speed|download|upload] is [only <speed>|terrible|far too low] [<a_while>|]
        [it takes|a download takes] [hours|for ever|ages] [<place>|to load a page|]
        my mobile data is [slow|crawling|throttled] [<place>|<a_while>|]
        the <internet> [slows down|gets slow|becomes slow] [every evening|when we all use it|]
    """,
    "outage": """
        ~report [an outage|a fault|that everything is down] [<place>|in our street|]
        ~know [when|if] the [outage|fault|network] [is fixed|will be over|is known]
        !tell me [when|if] the [<internet>|network] [is|will be] back [up|in our area|]
        [is there|do you have] an outage [in my area|in our street|today|right now]
        [nothing works|everything is down|the <internet> is down] [<place>|<a_while>|in our street]
        [the|our] [<internet>|tv|landline] [is down|is dead|went off|stopped] [<a_while>|on <day>]
        [we have|there is] no [internet|service|line] [at all|in the whole street] [<a_while>|]
        [my neighbours have|the whole street has] no [internet|service] [either|]
        when [will|does] [the network|the <internet>|service] [come back|work again|be restored]
        [the|our] <internet> has been [down|dead|out] <a_while>
    """,
    "router_setup": """
        ~[set up|install|connect|configure] [my|the|our] [new |][router|modem|wifi|wifi repeater]
        ~[change|find|reset|see] [my|the] wifi [password|name|key]
        ~connect my [<device>|tv|printer|laptop] to the [wifi|router]
        !help me [with the router|set up the wifi|connect the router]
        [the new|my new|your] router [arrived|came today] , how do i [plug it in|set it up]
        [where|what] is the [wifi password|key|login] [of the router|on the router|]
        the [router|box] shows a [red|blinking|orange] light [, what does it mean|after the set-up]
        [which cable|where] [goes|do i plug it] [in|into the wall|into the router]
        my [<device>|laptop|tv] [does not find|cannot join|will not connect to] the wifi
        the wifi does not reach <room> [, do i need a repeater|]
    """,
    "technician_visit": """
        ~[book|make|get|arrange] [an appointment|a visit|a date] [with|for] [a|the] technician
        ~[move|change|cancel|postpone] [my|the] [appointment|technician's visit|visit on <day>]
        ~know [when|at what time] the technician [comes|will be here|is coming]
        !send [a technician|an engineer|somebody] [to my home|on <day>|to look at the line|]
        [when|what time] [does|will] the [technician|engineer] [come|arrive|be here] [on <day>|]
        [the|your] [technician|engineer] [did not come|never showed up|is late] [on <day>|today|]
        [i will not be|nobody is] at home [on <day>|when the technician comes] [, can we move it|]
        i need [a technician|an engineer] to [mend|check] [the line|the <internet>|the socket]
        my appointment [is|was] on <day> [at <time>|] [and i cannot make it|, is that still right|]
        [can the|could the] technician come [on <day>|after <time>|earlier]
    """,
    "parental_control": """
        ~[set up|switch on|turn on|use] [parental controls|the child filter|the content filter]
        ~[block|bar|filter] [adult sites|some websites|games|videos] [for my [son|daughter|kids]|]
        ~[limit|restrict] [the screen time|how long my kids are online|data for my [son|daughter]]
        ~[switch off|remove|unlock] the [child lock|content filter|age filter]
        !block [premium numbers|adult content|purchases] on my child's [phone|line]
        [how do i|can i] make [the internet|the wifi|a phone] safe for [children|my [son|daughter]]
        my [son|daughter] [sees|opens] things [online |]that are not for [children|that age]
        [a website|a page] is blocked because of the age filter [, i am an adult|]
        [do you have|is there] [a filter|an app|a lock] for [children|kids] [and what does it cost|]
    """,
    "password_reset": """
        ~[reset|change|recover] my [password|login|account password]
        ~[get|log] [back |]into my [account|online account|app]
        !send me a [reset link|new password|code] [to log in|again|]
        !unlock my [account|login|online account]
        [i forgot|i have forgotten|i lost] my [password|user name|login]
        [i can't|i cannot|i am not able to] [log in|sign in|get into my account] [<a_while>|]
        [the app|the website|your portal] [does not accept|refuses] my [password|login|code]
        my account is [locked|blocked] after [too many|<count>] [tries|attempts]
        the [reset link|code|e-mail] [never arrives|has expired|does not work]
        which e-mail [is|do you have] [on|for] my login
    """,
    "fraud_report": """
        ~report [a scam|a fraud|fraud on my account|a phishing [text|e-mail|call]]
        ~know if [this|a] [text|e-mail|call] is really from you
        !stop [a|the|this] [fraud|scam|order] [in my name|on my account|]
        !check if [somebody|someone] [opened a contract|ordered a phone|took a sim] in my name
        [somebody|someone] [opened a contract|ordered a <device>|swapped my sim] in my name
        [somebody|someone] [pretended|claimed] to be [from your company|from you] and <wanted>
        [i got|i have] [a text|an e-mail|a call] that [looks like|must be] [a scam|phishing|fraud]
        [i|my <relative>] clicked on a link [in a text |]and [gave my details|now money is gone]
        i see [calls|orders|texts] that [are not mine|i did not make] [, i was hacked|]
        [my account|my number] [was|has been] [hacked|taken over|misused]
    """,
    "wanted": "[wanted|asked for] [my code|my password|money|remote access|my bank card]",
    "privacy_request": """
        ~[see|get a copy of|know] [all |]the [personal |]data [you hold|you have] about me
        ~[delete|erase|remove] my [personal |][data|recordings|profile|call recordings]
        ~[withdraw|take back|change] my consent [to recording|to advertising|to the use of my data]
        ~stop [advertising calls|your newsletter|the sale of my data|being recorded]
        !delete [my data|everything you have about me|the recording of my call]
        !send me [a copy of my data|what you store about me|my call recordings]
        [what|which] [data|information] [do you|does your company] [store|keep|have] about me
        [who|with whom] [do you share|has seen|gets] my [data|information|number]
        [i do not|i don't] want [my calls recorded|my data used|to get advertising] [any more|]
        [i object|i do not agree] to [the use of my data|being recorded|profiling]
        how long do you keep [my data|recordings|my chats]
    """,
    "complaint": """
        ~[make|file|raise|lodge] a [formal |][complaint|official complaint] [about <grievance>|]
        ~complain about <grievance>
        ~know [what happened to|the state of] my complaint [from <month>|about <grievance>|]
        !register a complaint [about <grievance>|]
        [i am|i'm] [very |really |extremely |][unhappy|dissatisfied|angry] with <grievance>
        this is the worst [service|company] [i have ever had|] [, <grievance> is a disgrace|]
        [nobody|no one] [cares|takes me seriously|does anything] about <grievance> [and i complain|]
        [i expect|i demand|i want] [compensation|an apology|a written answer] for <grievance>
        <grievance> [is a scandal|is unacceptable|is below any standard] [and i want that noted|]
        [i will go to|i am going to] the [ombudsman|regulator|press] [about|because of] <grievance>
    """,
    "grievance": """
        [your service|the way you treat customers|your agent|your company]
        [the waiting time|your hotline|how i was spoken to|the rude agent]
        [the constant outages|the slow <internet>|the bad reception]
        [your bills|the wrong <bill>|your prices]
        [the technician who never came|the shop in town|the delivery of my phone]
    """,
    "speak_to_agent": """
        ~[speak|talk] [to|with] [a person|an agent|a human|someone real|your manager|a supervisor]
        ~[get|request|have] a call back [from an agent|on <day>|after <time>|]
        ~be [put through|transferred|connected] to [an agent|a person|a colleague]
        !put me through to [an agent|a person|a human|someone]
        !call me back [on <day>|after <time>|today|]
        [agent|human|operator|representative] [please|]
        [give me|get me|i want] [a human|a real person|an agent] [please|now|, not a bot]
        [is there|are you] [a real person|a human|a bot or a person] [here|]
        [i don't|i do not] want to [talk|chat] [to|with] a [machine|bot|computer]
        [can somebody|can someone] [call|ring] me [back|] [on <day>|after <time>|]
    """,
}

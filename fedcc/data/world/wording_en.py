"""English wording shared by all matters: frames of a request, everyday things, small talk.

All sentences are our own. Text is written as a careful writer would; `styles` turns it into chat
or into a transcript. A line that starts with ~ is a wish of the caller ("i want to …", "how do i
…"), one that starts with ! is asked of the agent ("can you …"); `utterances` writes these out.
"""

FRAMES = {
    "~": "[<want>^3|<can>^3|<help>] ",
    "!": "[<you>^4|<someone>] ",
}

SHARED = {
    "want": """
        [i want|i'd like|i would like|i need|i have|i wish|i was hoping|i am trying|i'm trying] to
        [we want|we need|we would like] to
        [i'm calling|i am writing|i'm getting in touch] [to|because i [want|need] to]
    """,
    "can": """
        [can|could|may] i [please |]
        how [do|can|would|could] i
        [is it possible|is there a way|is there any way|what do i have to do|what is the way] to
        [am i able|would it be possible] to
    """,
    "help": """
        [can|could] you help me [to |]
        [please |]help me [to |]
        [i need|i could use] [some |a bit of |]help to
    """,
    "you": """
        [can|could|would|will] you [please |]
        please
        [i need|i want|i'd like] you to
        [are you able|would you be able] to
    """,
    "someone": "[i need|can i get|is there] [someone|somebody|anyone] [who can|to]",
    "a_while": """
        [since <day>|for [days|weeks]|since the weekend|since this morning|since <month>]
        for [more than|nearly|about] [a week|two weeks|a month|an hour]
    """,
    "place": "[at home|in my flat|in the house|in the office|in <room>|upstairs|where i live]",
    "phone": "[phone|mobile|<device>|handset|new phone^2|old phone]",
    "internet": "[internet|broadband|wifi|connection|home internet|line]",
    "plan": "[plan|tariff|contract|package|deal]",
    "bill": "[bill^3|invoice|statement|monthly bill]",
    "which_bill": "[my|the|this month's|last month's|my <month>|the latest|my first] <bill>",
    "odd_charge": """
        [a|one|this|some] charge [of <amount> |]for [<service>|something i never ordered|<fee>]
        [<amount> for <service>|an extra <amount>|<fee> of <amount>|<fee>]
    """,
    "fee": "[a late fee|an activation fee|a premium text|the line rental|a delivery fee|the tax]",
    "service": "[a tv add-on|the music pass|roaming|premium calls|insurance|data i never used]",
    "cross": """
        [this is|it is] [ridiculous|unacceptable|a joke|really frustrating|not good enough]
        [i am|i'm] [very |really |][annoyed|disappointed|unhappy|fed up]
    """,
    "opening": """
        [hi|hello|hey|good morning|good afternoon|good evening] [there|team|]
        [hi|hello] [hope you are well|i hope you can help|quick question|i have a question]
        excuse me
    """,
    "closing": """
        [thanks|thank you|many thanks|cheers|thanks a lot|thank you very much]
        [thanks|thank you] [in advance|for your help|for sorting this out]
        [please let me know|let me know|hope to hear from you soon|i'll wait for your answer]
        [please be quick|it is urgent|i need this today|no rush|whenever you can]
        [have a nice day|kind regards|best regards]
    """,
    "identify": """
        [my name is|this is|i am|it's] <pii_name> [^3|here|speaking]
        [my name is|this is|i am] <pii_name> and [my|the] account number is <pii_account>
        [my|the] [account|customer] number is <pii_account>
        [my|the] number [is|on the account is|i am calling about is] <pii_phone>
        [you can reach me|call me back|please call me] [on|at] <pii_phone>
        my [e-mail|e-mail address|login] is <pii_email>
        [please write|you can write|send it] to <pii_email>
        [my|the] date of birth is <pii_date_of_birth>
        [i live|we live|the address is|the line is] at <pii_address>
        name <pii_name> [born <pii_date_of_birth>|number <pii_phone>|account <pii_account>]
    """,
    "billing_identify": """
        [the card [number |]|my card [number |]|my new card ]is <pii_card>
        [please use|you can use|charge] [the card|my card|card number] <pii_card>
        [i paid|i always pay|i pay] with [the card|card] <pii_card>
    """,
    "contract_identify": """
        [the new address is|we are moving to|my address is|our home is] <pii_address>
        [the contract is|it is all|everything is] in the name of <pii_name>
    """,
    "line_identify": """
        [the|my] number [in question |concerned |]is <pii_phone>
        [the sim|the phone|it] has the number <pii_phone>
    """,
    "network_identify": """
        [it is|it's|this is] [about |for |]the [line|connection|router] at <pii_address>
        [you can call me|ring me|i'm reachable] on <pii_phone>
    """,
    "security_identify": """
        my e-mail [on the account |]is <pii_email>
        [for the security check my|my] date of birth is <pii_date_of_birth>
        [i think they have|they asked for|they got] my card <pii_card>
    """,
    "service_identify": """
        [my name is|this is] <pii_name> [and my number is <pii_phone>|]
        [the ticket is|it's all] under [account |]<pii_account>
    """,
    # What happened before, told by callers with different wishes: it does not give the wish away.
    "billing_story": """
        [my <bill>|the <month> <bill>] [was|came to|says] <amount>
        [i got|i received|i am looking at] [my|the|your] <bill> [today|<day>|this morning|]
        [you|your company] took <amount> [from my account |from my bank |][on <day>|]
        [i always pay|i usually pay|i used to pay] <amount> [a month|]
        [i lost my job|money is tight|i was ill] [in <month>|this month|]
        [i paid|i have paid|i sent] <amount> [on <day>|in <month>|last week]
        [i was told|an agent told me] [on <day> |]that <amount> would [come off|be taken off]
    """,
    "contract_story": """
        [i have been|i've been|we have been] with you for [<count> years|ages|years|<count> months]
        my [contract|<plan>] [is about to run out|runs until <month>|started in <month>]
        [we are|i am] moving [to another city|in with my <relative>|to a new flat] in <month>
        <rival> [offers|has] [the same|more data|twice the speed] for <amount>
        my <relative> [is with you too|needs a phone now|has a cheaper <plan>]
        [i hardly use|i never use up] my data
        [i pay|we pay] <amount> [a month|every month]
        [the screen of my phone is broken|my phone is <count> years old]
    """,
    "line_story": """
        [i bought|i got|i just got] a [new |used |]<device> [last week|on <day>|]
        [i am|we are|i'm] [flying|going|travelling] to <country> [on <day>|in <month>|next week]
        [i am|i'm] in <country> [right now|at the moment|until <day>]
        my <relative> lives in <country>
        my phone [fell into water|was in my bag|is switched off|says sim error]
        [i have|i've got] <gigas> [in my plan|a month]
        [i used to be|i was|i am still] with <rival>
        [i keep|i want to keep] my [old |]number
    """,
    "network_story": """
        the <internet> [drops|stops|breaks off] [all the time|every evening|<a_while>]
        [the router|the box|the modem] [is blinking|shows a red light|is <count> years old]
        [i have restarted|i restarted|we have reset] the router [<count> times|already]
        [i work from home|my kids have school online|i had a video call]
        [a technician|somebody of yours] was here [on <day>|in <month>|last week]
        there [is|was] [building work|a storm] [in our street|near us|on <day>]
        [nothing|hardly anything] works <place> <a_while>
        [i get|the test says] <speed>
    """,
    "security_story": """
        [i got|i received] [a strange|an odd|a] [text|e-mail|message|call] [on <day>|today|]
        [i cannot|i can't] [get in|open the app|see my account] <a_while>
        [somebody|someone] [called|wrote to] [me|my <relative>] [on <day>|yesterday|]
        my [son|daughter|kids] [got|has got|use] a <device>
        [i changed|i lost] my [phone|e-mail address] [in <month>|last week|]
        [i read|i heard] about [the data leak|hackers] in the news
    """,
    "service_story": """
        [this is|it is] the <nth> time i [call|contact you|write]
        [nobody|no one] [called|got] back to me [since <day>|]
        [i waited|i was on hold] [for an hour|half the morning|for ages]
        [the bot|the machine|your app] [keeps asking|does not understand|is no help]
        the <internet> [drops|stops] [all the time|every evening|<a_while>]
        [my <bill>|the <month> <bill>] was wrong [again|]
        [a technician|somebody of yours] [was here|did not come] [on <day>|last week]
    """,
    "detour": """
        [i called|i wrote] [on <day>|last week|before] about <topic> [but that is sorted|]
        [i asked about|somebody helped me with] <topic> [last week|before] , this is something else
        [i see|your website has] [a page|a menu|something] [on|about] <topic> [but that is not it|]
        [this is not|it is not] about <topic> [this time|]
        [the bot|your app|the menu] only [offers|talks about] <topic>
        [we can leave|forget] <topic> [for now|for another day]
    """,
}

TOPIC_WORDS = {
    "bill_explanation": "[my bill|the amount on my bill]",
    "bill_dispute": "[a wrong charge|a charge i did not agree to]",
    "make_payment": "[paying my bill|a payment]",
    "payment_extension": "[paying later|more time to pay]",
    "payment_method": "[the direct debit|my new card]",
    "refund": "[my refund|the money you owe me]",
    "tariff_advice": "[a cheaper plan|my tariff]",
    "upgrade_device": "[a new phone|an upgrade]",
    "contract_end": "[the end of my contract|my notice period]",
    "cancel_service": "[cancelling|leaving you]",
    "add_line": "[a second line|another sim for my family]",
    "move_house": "[my move|the new address]",
    "port_in": "[bringing my number over|my old number]",
    "port_out": "[taking my number away|a porting code]",
    "sim_replacement": "[a new sim|the sim card]",
    "lost_or_stolen": "[my lost phone|a stolen phone]",
    "roaming": "[roaming|using my phone abroad]",
    "international_calls": "[calls abroad|calling <country>]",
    "data_top_up": "[more data|a top-up]",
    "voicemail": "[my voicemail|the mailbox]",
    "no_signal": "[no signal|bad reception]",
    "slow_internet": "[the slow internet|the speed]",
    "outage": "[the outage|the network being down]",
    "router_setup": "[the router|the wifi password]",
    "technician_visit": "[the technician|my appointment]",
    "parental_control": "[the child filter|blocking websites]",
    "password_reset": "[my password|the login]",
    "fraud_report": "[a scam|a fraud]",
    "privacy_request": "[my data|data protection]",
    "complaint": "[a complaint|my complaint]",
    "speak_to_agent": "[talking to a person|a call back]",
}

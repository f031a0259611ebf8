"""The English wording of the clinic's consultations: for each piece the variants of training, and those held out.

Written for this project; no text was taken from a real consultation. A piece is what one speaker says at one point; the two
sides of a pair share no sentence. `{finding}`, `{disease}` and so on are filled from the clinic's tables.
"""

from collections.abc import Mapping

Variants = tuple[tuple[str, ...], tuple[str, ...]]  # of training, held out

WORDS: Mapping[str, Variants] = {
    # The patient
    "open": (
        ("Hello doctor, I have {complaint}.", "I've been having {complaint}.", "Hi. {complaint}, that's why I'm writing.", "I'm worried because I have {complaint}."),
        ("Good morning, my problem is {complaint}.", "It's about {complaint}.", "I keep getting {complaint} and don't know what to do."),
    ),
    "who": (("I'm a {age}-year-old {sex}.", "{sex}, {age} years old.", "I am {age} years old, {sex}."), ("A {sex} here, {age} years old.", "Age {age}, {sex}.")),
    "more": (("I also have {finding}.", "There is {finding} too.", "And {finding}."), ("On top of that, {finding}.", "Also {finding}, I should add.")),
    "found": (("At the clinic they found {finding}.", "My results say {finding}.", "The nurse noted {finding}."), ("The report mentions {finding}.", "Someone who examined me wrote down {finding}.")),
    "for": (("It started {duration} ago.", "This has gone on for {duration}.", "For {duration} now."), ("It has lasted {duration} so far.", "{duration} ago it began.")),
    "plea": (("What should I do?", "What is wrong with me?", "Can you help?", ""), ("What do you make of it?", "Is it serious?", "")),
    "yes": (("Yes, {finding}.", "Yes, I have {finding}.", "Yes. {finding}, that's right."), ("Yes, there is {finding}.", "Yes, quite a lot of {finding}.")),
    "answer.onset": (("About {duration}.", "It began {duration} ago."), ("{duration}, roughly.", "Since {duration} ago, I'd say.")),
    "answer.severity": (("Quite bad, 6 out of 10.", "It's getting worse.", "Mild most of the time."), ("Severe at night.", "Not too bad, 4 out of 10.")),
    "answer.site": (("Mostly in the middle.", "More on the left side."), ("On the right side, I think.", "Both sides.")),
    "answer.character": (("It comes and goes.", "It's constant, rather dull."), ("Sharp when it comes.", "A throbbing feeling.")),
    "answer.triggers": (("Worse when I walk.", "Nothing helps much."), ("Resting helps a bit.", "Worse after meals.")),
    "answer.past": (("No other illness, otherwise healthy.", "Never had anything like this."), ("I'm otherwise well.", "No history of anything.")),
    "answer.tests": (("No tests so far.", "Not yet."), ("Nobody has done tests.", "None, no results.")),
    "answer.age": (("{age}.", "I'm {age} years old."), ("{age} last month.", "I turned {age}, so {age} years old.")),
    "answer.pregnancy": (("No, not pregnant.", "No, my last period was on time."), ("Not pregnant and not breastfeeding.", "No chance of pregnancy.")),
    "answer.allergy": (("No allergies.", "None that I know of, no allergy."), ("I'm not allergic to anything.", "No drug allergy so far.")),
    "answer.renal": (("My kidneys are fine.", "No kidney trouble."), ("Kidneys were normal at the last check.", "No kidney disease.")),
    "answer.drugs": (("I take no medication.", "Only a vitamin, no other medicines."), ("Nothing regular, no medicines.", "I'm not taking any medication.")),
    "answer.else": (("No other symptoms.", "Nothing else."), ("Other than that, nothing.", "Nothing else that I noticed.")),
    # The doctor: questions
    "ask.onset": (("How long has this been going on?", "When did it start?", "Since when?", "How many days now?"), ("For how long have you had it?", "When did you first notice it?", "Started when?")),
    "ask.severity": (("How bad is it?", "Is it getting worse?", "Does it wake you at night?"), ("On a scale out of 10, where is it?", "Does it keep you from working?")),
    "ask.site": (("Where exactly?", "Does it spread anywhere?", "Which side?"), ("Show me: where is it worst?", "Which part hurts, and does it travel?")),
    "ask.character": (("Is it constant or does it come and go?", "What does it feel like?"), ("Sharp or dull?", "What kind of feeling is it?")),
    "ask.triggers": (("Anything that makes it worse?", "Is it worse after eating or with exercise?", "Does anything help?"), ("What brings it on?", "What sets it off?")),
    "ask.past": (("Any other conditions?", "Have you had this before?"), ("Anything in your medical history?", "Any long-term illness?")),
    "ask.tests": (("Have you had any tests?", "Any blood tests done yet?"), ("Were any test results given to you?", "Did anyone do a scan?")),
    "ask.age": (("How old are you?", "Your age?"), ("May I ask how old you are?", "What is your age?")),
    "ask.pregnancy": (("Could you be pregnant?", "Pregnant or breastfeeding?"), ("Any chance of pregnancy?", "When was your last period?")),
    "ask.allergy": (("Any drug allergies?", "Are you allergic to anything?"), ("Have you ever reacted to a medicine, any allergy?", "Allergies?")),
    "ask.renal": (("Are your kidneys all right?", "Any kidney disease?"), ("Has anyone told you of kidney problems?", "How is your kidney function?")),
    "ask.drugs": (("Do you take any medication?", "What medicines are you on?"), ("Any regular medicines?", "Which medication do you use at the moment?")),
    "ask.else": (("Any other symptoms?", "Anything else wrong?"), ("What other symptoms are there?", "Anything else you noticed?")),
    "ask.finding": (("Do you have {finding}?", "Any {finding}?", "Have you noticed {finding}?"), ("Is there {finding} as well?", "What about {finding}?")),
    # The doctor: everything else
    "doctor.lead": (
        ("Let me get this straight first.", "One thing before we go on.", "That narrows it down, I need two details.", "I want to be sure before I give you anything.", ""),
        ("Before I decide anything:", "I'd rather ask now than be sorry later.", "A couple of details decide this.", ""),
    ),
    "doctor.why": (
        ("That decides which test comes first.", "I ask because the treatment depends on it.", "It makes a difference to what we do next."),
        ("Your answer settles the next step.", "That changes what I would give you."),
    ),
    "doctor.diagnose": (
        ("This is {disease}.", "You have {disease}.", "It looks like {disease}.", "I'd treat this as {disease}.", "With {findings} the diagnosis is {disease}.", "{findings}: most likely {disease}."),
        ("It fits {disease}.", "{findings} together point to {disease}.", "My impression: {disease}.", "What you have is {disease}."),
    ),
    "doctor.drug": (
        ("Take {drug} {dose} {frequency}.", "I'm giving you {drug}, {dose} {frequency}.", "Start {drug} {dose}, {frequency}, for {days} days."),
        ("{drug} {dose} {frequency}, for {days} days.", "We begin with {drug} {dose} {frequency}.", "I'll write you up for {drug}: {dose}, {frequency}."),
    ),
    "doctor.test": (("Get {test} done first.", "You need {test} today.", "I'm ordering {test}."), ("Next step is {test}.", "Have {test} done and send me what it shows.")),
    "doctor.procedure": (("You need {procedure}.", "I'm referring you for {procedure}."), ("We'll arrange {procedure} for you.", "{procedure} is what has to be done.")),
    "doctor.urgent": (("Go to the emergency department now.", "Call an ambulance, this can't wait."), ("You must be in hospital within the hour.", "Leave for the emergency room now, don't drive yourself.")),
    "doctor.return": (("Come straight back if there is {flag}.", "If you get {flag}, call me at once.", "Back here in {days} days, earlier with {flag}."), ("Should {flag} appear, go to the emergency room.", "See me again in {days} days; with {flag}, the same day.")),
    "doctor.small": (("Don't worry.", "All right.", "Okay.", "Good.", ""), ("Fine.", "I see.", "No panic.", "")),
    "doctor.rare": (("I'd have to examine you to be certain.", "Drink enough and rest.", "Thank you, that helps."), ("Rest for a few days.", "Thanks, now I know more.", "I can't see it from here, of course.")),
    # The assistant
    "assistant.thanks": (
        ("Thank you for reaching out.", "I'm sorry to hear that you're going through this.", "Thank you for sharing these details with me.", "I understand how worrying this can be.", ""),
        ("I appreciate you telling me about this.", "That must be quite unpleasant for you.", "Thanks for providing this information, I'm here to support you.", ""),
    ),
    "assistant.restate": (
        ("You mentioned that you have {findings}.", "Based on your description, you are experiencing {findings}.", "From what you describe, {findings} are your main concerns."),
        ("It seems that you are dealing with {findings}.", "So you report {findings}.", "Your message describes {findings}."),
    ),
    "assistant.causes": (
        ("These symptoms could be caused by a number of conditions, including {diseases}.", "There are several possible causes, such as {diseases}.", "Symptoms like these may be related to {diseases}, among others."),
        ("A variety of things might be behind this, for example {diseases}.", "Possible explanations range from {diseases} to other problems.", "It may be anything from stress to {diseases}."),
    ),
    "assistant.diagnose": (
        ("This could possibly be {disease}.", "Your symptoms may be consistent with {disease}.", "It is possible that you have {disease}.", "{findings} might suggest {disease}."),
        ("One potential explanation would be {disease}.", "{disease} is among the possibilities here.", "{findings} could perhaps indicate {disease}."),
    ),
    "assistant.drug": (
        ("Medications such as {drug} may be considered.", "In some cases {drug} might be prescribed."),
        ("{drug} is one of the options that might come into question.", "A drug like {drug} could potentially be of use."),
    ),
    "assistant.dose": (
        ("A common option is {drug}, typically {dose} {frequency}.", "{drug} ({dose} {frequency}) may be considered.", "Treatment might include {drug} {dose} {frequency}."),
        ("Doctors often use {drug}, usually {dose} {frequency}.", "One possible choice would be {drug} at {dose} {frequency}.",),
    ),
    "assistant.test": (
        ("Tests such as {test} may be recommended.", "A doctor might suggest {test}."),
        ("It could be useful to look into {test}.", "Investigations, for example {test}, might be needed."),
    ),
    "assistant.procedure": (("In some cases {procedure} may be necessary.", "Options might include {procedure}."), ("{procedure} could become necessary.", "Some patients may eventually require {procedure}.")),
    "assistant.return": (("Please be aware that {flag} may require prompt medical attention.", "It is important to seek help if {flag} occurs."), ("Keep in mind that {flag} would be a reason to get help.", "In the event of {flag}, contact a medical professional.")),
    "assistant.advice": (
        ("Make sure to get plenty of rest and stay hydrated.", "Try to maintain a healthy diet and lifestyle.", "Monitor your symptoms closely.", "Avoid stress and get enough sleep.", "Over-the-counter pain relief may provide some comfort."),
        ("Eating well and sleeping enough supports recovery.", "Drink lots of water throughout the day.", "Write down how your symptoms develop.", "Gentle movement and fresh air can do good."),
    ),
    "assistant.refer": (
        ("I recommend that you consult a healthcare professional.", "Please see a doctor if your symptoms persist or worsen.", "It is best to seek medical attention for a proper evaluation."),
        ("A visit to your physician would be advisable.", "Getting this checked by a clinician is the safest course.", "Do reach out to a medical provider."),
    ),
    "assistant.urgent": (
        ("It would be advisable to visit an emergency department as soon as possible.", "This may require emergency care, so please consider calling an ambulance."),
        ("Situations of this kind can be serious, and hospital care might be needed without delay.", "Emergency services could be the right address here."),
    ),
    "assistant.disclaim": (
        ("I'm not a doctor and cannot provide a diagnosis.", "This information is not a substitute for professional medical advice.", "As an AI, I can only give general information.", ""),
        ("Please bear in mind that I am only an assistant.", "What I write is for educational purposes only.", "A definitive answer requires an in-person examination.", ""),
    ),
    "assistant.close": (
        ("I hope this helps!", "Feel free to ask if you have any more questions.", "Take care and I wish you a speedy recovery.", "Let me know if you need anything else.", ""),
        ("Wishing you all the best.", "Don't hesitate to write again.", "I'm always here should you want to know more.", ""),
    ),
    "assistant.ask": (
        ("Could you tell me more about your symptoms?", "Can you provide more details?", "Would you like more information on this?"),
        ("Would you mind describing your situation further?", "Is there anything more you would like to share?"),
    ),
    "assistant.polite": (
        ("To better assist you, I would like to ask a few questions.", "In order to help you, it would be useful to know more.", "Here are some questions that may help."),
        ("Some additional information would allow me to give better guidance.", "Answering the following could make things clearer."),
    ),
    "assistant.steps": (("Here are some steps you can take:", "Here are a few suggestions:"), ("The following tips might be useful:", "You may consider these measures:")),
}  # fmt: skip

SEX = {"female": "woman", "male": "man", "girl": "girl", "boy": "boy"}
DURATIONS = ("two days", "3 days", "a week", "10 days", "two weeks", "a month", "5 days", "three weeks")

"""Seeds of law, economy, the humanities, and general and everyday knowledge."""

from learner.seeds.seed import Seed

SOCIETY = (
    Seed(
        name="law",
        about="Cases, contracts, torts, crimes, rights and procedure",
        reasoning="deep",
        examples=(
            "A homeowner told a painter that she would pay $4,000 if the house was finished by June 1. The painter "
            "bought supplies and began, but the homeowner then revoked the offer. If the painter sues, who is "
            "likely to prevail?\nA. the homeowner, because there was no acceptance\nB. the homeowner, because the "
            "promise was not in writing\nC. the painter, because he began performance\nD. the painter, because he "
            "bought supplies",
            "My landlord kept my deposit without giving a reason. What can I do in small claims court?",
            "A defendant was charged with burglary after he entered an unlocked garage at night to sleep and left "
            "with a bicycle. At trial he moves for a directed verdict. Should the court grant the motion?\n\n"
            "Options:\nA. Yes, because the garage was unlocked.\nB. Yes, because he had no intent to steal when he "
            "entered.\nC. No, because he took the bicycle.\nD. No, because it was night.",
            "Explain the difference between a patent, a trademark and copyright.",
            "What has to be shown to establish negligence, and who bears the burden of proof?",
            "A state passes a statute that bans billboards near highways but exempts those of churches. Is the "
            "statute constitutional under the First Amendment?",
            "Draft a confidentiality clause for a consulting agreement under English law.",
            "A buyer of land recorded her deed two days after a second buyer paid for the parcel without notice of "
            "the first sale. In a race-notice jurisdiction, who owns the land?\n(A) the first buyer, since she "
            "bought first (B) the second buyer, if he recorded first (C) the seller (D) both, as tenants in common",
            "Is an eyewitness's statement to the police admissible at trial if the witness has since died?",
            "A driver swerved to avoid a child and struck a parked truck whose owner sued for damages. Which "
            "defense is best?\nA. necessity\nB. consent\nC. self-defense\nD. assumption of risk",
            "Which obligations does the GDPR put on a small online shop?",
            "A testator's will left 'all my books' to a niece. He later gave half of the books to a library. What "
            "does the niece take, and does the doctrine of ademption apply?",
            "Two robbers agreed to hold up a store. One withdrew and called the police, the other shot the clerk. "
            "Can the first be convicted of conspiracy and of felony murder?",
        ),
    ),
    Seed(
        name="economics",
        about="Markets, prices, money, trade, growth and econometrics",
        reasoning="deep",
        examples=(
            "If the price of coffee rises and the demand for tea increases, the two goods are\nA. complements\nB. "
            "substitutes\nC. inferior goods\nD. independent\nE. public goods",
            "Why did the central bank raise interest rates if inflation was caused by supply?",
            "A monopolist faces the demand curve P = 80 - 2Q and has a marginal cost of 20. Find the price that "
            "maximises its profit and the deadweight loss.",
            "What is the effect of a fall in government spending on aggregate demand and the price level?\n\n"
            "Options:\nA. both rise\nB. both fall\nC. demand rises and prices fall\nD. demand falls and prices "
            "rise\nE. neither changes",
            "Explain comparative advantage with an example of two countries and two goods.",
            "If the marginal propensity to consume is 0.8, by how much does output rise when investment increases "
            "by 50 billion?\n(A) 40 (B) 62.5 (C) 200 (D) 250 (E) 400",
            "In a regression with autocorrelated errors, what happens to the OLS estimates and to their standard "
            "errors?",
            "Which of the following shifts the short-run aggregate supply curve to the left?\nA. lower wages\nB. "
            "an increase in the price of oil\nC. a tax cut for households\nD. an increase in the money supply",
            "How does a currency depreciation affect exports, imports and the trade balance?",
            "What would happen to employment if the minimum wage were set above the equilibrium wage in a "
            "competitive labor market?",
            "Discuss the arguments for and against a universal basic income.",
            "A firm in perfect competition produces where price is below average variable cost. In the short run "
            "it should\nA. expand output\nB. shut down\nC. raise its price\nD. advertise",
            "The unemployment rate fell although no new jobs were created. How can this be?",
        ),
    ),
    Seed(
        name="business",
        about="Accounting, finance, marketing, management, strategy and business ethics",
        reasoning="light",
        examples=(
            "A company has current assets of $480,000 and current liabilities of $320,000. What is its current "
            "ratio, and what happens to it if it pays off $50,000 of payables?",
            "Suggest a pricing and marketing strategy for a company whose customers expect free shipping.",
            "_______ is the practice of sending the same message through every channel that a customer uses.\nA. "
            "Viral marketing\nB. Integrated marketing communication\nC. Segmentation\nD. Relationship selling",
            "Mr. Ortiz borrowed $6,000 at 8% simple interest for 150 days. How much did he owe at maturity?\n\n"
            "Options:\nA. $6,080\nB. $6,120\nC. $6,200\nD. $6,240\nE. $6,480",
            "What should be in the financial plan of a bakery that looks for a bank loan?",
            "Straight-line depreciation of a machine that cost $90,000, lasts eight years and has a scrap value of "
            "$10,000: what is its book value after three years?",
            "Which leadership style do managers of large organizations use, and how does it motivate employees?",
            "A bond with a face value of $1,000 pays a 6% coupon every half year and matures in 10 years. At a "
            "market rate of 5%, what is its price?",
            "Prepare a SWOT analysis for a regional furniture retailer that wants to sell online.",
            "Which of the following is a duty that directors owe to shareholders?\n(A) loyalty and care (B) a "
            "fixed dividend (C) personal liability for debts (D) annual bonuses",
            "An insurance policy with an annual premium of $840 is canceled after five months. How much is "
            "refunded pro rata?",
            "Explain the difference between cash flow, gross profit and net income on the books of a retail store.",
            "How do stakeholders differ from shareholders in corporate social responsibility?\nA. they own stock\n"
            "B. they are affected by the firm's conduct\nC. they manage the firm\nD. they audit the accounts",
        ),
    ),
    Seed(
        name="history",
        about="Events, periods, sources and their causes",
        reasoning="light",
        examples=(
            "What were the main political and economic causes of the First World War, according to historians?",
            "Read the passage that a merchant of Massachusetts wrote in 1786, and answer the question below it. 'Our "
            "farmers are dunned for debts they cannot pay, and the new government sends its army against the "
            "people who once fought the king of England.' The passage best reflects which of the following "
            "events?\nA. the Stamp Act\nB. Shays' Rebellion\nC. the Louisiana Purchase\nD. the Embargo Act",
            "Why did the western Roman Empire fall while the eastern one survived for a thousand years?",
            "Which dynasty ruled ancient Egypt when the pyramids of Giza were built, and which empires came after it?",
            "Which of the following contributed most to the spread of Buddhism to China?\n(A) the Crusades (B) the "
            "trade routes of the Silk Road (C) the Mongol fleet (D) Portuguese missionaries",
            "Summarise the reign of Catherine the Great and its effect on the peasants.",
            "'The colonies are the children of the nation, and what nation lets others raise its children?' "
            "(speech of a French minister, 1885). A historian would use this excerpt as evidence for\nA. "
            "imperialism in Africa and Asia\nB. the rise of absolutism\nC. the abolition of slavery\nD. the "
            "Protestant Reformation",
            "How did industrialization, trade unions and reform change the life of workers in nineteenth-century "
            "Europe?",
            "Compare the decolonization of India and Algeria after the Second World War with the Soviet Union's "
            "policy.",
            "What do archaeologists infer from the obsidian tools found far from any volcano in Neolithic "
            "settlements?\n\nOptions:\nA. long-distance exchange\nB. warfare\nC. climate change\nD. early writing",
            "When did women get the vote in Switzerland and why so late?",
            "Give me a timeline of the Meiji Restoration, of the Ming dynasty and of the French Revolution.",
            "Which hominid is associated with the earliest stone tools at Olduvai Gorge?",
        ),
    ),
    Seed(
        name="psychology",
        about="Mind, behaviour, development, disorders, therapy and research on them",
        reasoning="light",
        examples=(
            "A child is afraid of white coats after a painful vaccination. In classical conditioning, the coat is "
            "the\nA. unconditioned stimulus\nB. conditioned stimulus\nC. unconditioned response\nD. reinforcer",
            "What is the difference between negative reinforcement and punishment?",
            "A client says that she is worthless because she failed one exam. Which cognitive distortion is this, "
            "and how would a therapist respond?",
            "Which of Erikson's stages is typical of adolescence?\n\nOptions:\nA. trust versus mistrust\nB. "
            "identity versus role confusion\nC. intimacy versus isolation\nD. integrity versus despair\nE. "
            "industry versus inferiority",
            "Explain the bystander effect and other findings of social psychology on groups, attitudes and behavior.",
            "A psychologist receives a subpoena for the records of a former patient. According to ethical "
            "guidelines, the psychologist should\n(A) send them at once (B) destroy them (C) claim privilege until "
            "the patient consents or a court orders otherwise (D) ignore it",
            "How do psychologists measure the reliability and validity of a personality or intelligence test?",
            "Which part of the brain is most involved in forming new memories, and what happens when it is damaged?",
            "Why do people remember the first and the last items of a list best?",
            "A man washes his hands forty times a day and feels anxious if he does not. Which disorder is most "
            "likely, and which treatment has the best evidence?\nA. phobia\nB. obsessive-compulsive disorder\nC. "
            "schizophrenia\nD. dissociative disorder",
            "Does intelligence depend more on genes or on upbringing, according to twin studies?",
            "What is attachment theory, and how does it describe toddlers who avoid their mother after a separation?",
            "Employees who were shown a high number first estimated higher salaries. Which bias does this demonstrate?",
        ),
    ),
    Seed(
        name="philosophy",
        about="Ethics, logic, knowledge, metaphysics and religion",
        reasoning="deep",
        examples=(
            "According to Kant, a lie told to save a friend is\nA. permitted, because of its consequences\nB. "
            "wrong, because its maxim cannot be universal law\nC. a duty of friendship\nD. morally neutral",
            "What is the difference between knowledge and justified true belief?",
            "Translate into predicate logic: 'Every student admires some teacher who does not admire herself.' Use "
            "Sx, Tx and Axy.\n(A) (x)(Sx > (Ey)(Ty & Axy & ~Ayy)) (B) (Ex)(Sx & (y)(Ty > Axy)) (C) (x)(y)(Sx & Axy)",
            "Construct a truth table for (P -> Q) & (~Q v R) and decide whether P -> R follows.\n\nOptions:\nA. "
            "valid\nB. invalid; counterexample when P and Q are true and R is false\nC. inconsistent\nD. tautology",
            "Is free will possible if every event has a cause? Explain determinism and moral responsibility.",
            "Singer argues that we ought to prevent suffering if we can do so without sacrificing anything "
            "comparably important. What objection would Nozick make?",
            "'Everyone buys this brand, so it must be the best.' Which fallacy does the argument commit?\nA. straw "
            "man\nB. appeal to popularity\nC. equivocation\nD. begging the question\nE. false dilemma",
            "Explain Plato's allegory of the cave and what Socrates says about justice, virtue and the soul.",
            "Does the existence of evil disprove a benevolent God? Give both sides.",
            "Aristotle holds that virtue is a mean. A mean between what?\n(A) reason and desire (B) excess and "
            "deficiency (C) pleasure and pain (D) the individual and the state",
            "What did the Buddha teach about the self, and how does it compare with Hume's bundle theory?",
            "What is the strongest argument against moral relativism, and would a utilitarian accept it?",
            "If the conclusion of an argument is necessarily true, is the argument valid whatever its premises?",
        ),
    ),
    Seed(
        name="everyday-knowledge",
        about="Facts about geography, culture, sport, media, nature and daily life",
        reasoning="light",
        examples=(
            "What is the capital of New Zealand?",
            "Who wrote the novel 'Middlemarch'?",
            "How many players are there in a volleyball team?",
            "Which of these countries has the largest population?\nA. Canada\nB. Nigeria\nC. Spain\nD. Poland\nE. "
            "Argentina",
            "what's the difference between a macaron and a macaroon",
            "Which river flows through Vienna, Budapest and Belgrade?",
            "At what temperature should I wash wool?",
            "Which instrument has 88 keys?\n(A) the harp (B) the piano (C) the accordion (D) the celesta",
            "Name five animals that hibernate.",
            "Which film won the most Academy Awards in the 1990s?",
            "How long do hard-boiled eggs keep in the fridge?",
            "About what percentage of the world's adults could use the internet in 2018?\n\nOptions:\nA. 15%\nB. "
            "30%\nC. 50%\nD. 75%\nE. 90%",
            "What languages are spoken in Belgium, and where?",
        ),
    ),
    Seed(
        name="commonsense-reasoning",
        about="Everyday situations, riddles, puzzles and what follows from them",
        reasoning="light",
        examples=(
            "Anna put her umbrella away and looked up at the sky. Most likely because\nA. it started to rain\nB. "
            "the rain had stopped\nC. she lost it\nD. it was night",
            "A bowl of soup stands on the edge of a table and the cat jumps up to look. What is likely to happen next?",
            "Where would you put a plate after dinner?\n(A) in bed (B) in the dishwasher (C) on the roof (D) in a car",
            "Four friends share a pizza that is cut into eight slices. Two of them are not hungry. Who can eat "
            "three slices without anybody complaining?",
            "The plumber called the baker after he had found the leak. Who had found the leak?",
            "Paul is taller than Rita, Rita is taller than Sam, and Tina is shorter than Sam. Who is the second "
            "tallest?",
            "A woman waters plants in an office every day, yet none of them ever grows. Why might that be?",
            "To dry a wet book quickly without damaging it, you should\nA. put it into the oven\nB. stand it open "
            "in front of a fan\nC. iron every page on the highest heat\nD. freeze and shake it",
            "If the kettle is empty and somebody turns it on anyway, what might the smell in the kitchen be?",
            "I have one pan, two eggs and three guests. What should I cook first, and what do I tell the guests?",
            "Why would somebody leave the lights on when they go on holiday?",
            "My brother said that he could not come because of the thing with the dog. Should I offer to "
            "reschedule or to bring food?",
        ),
    ),
)

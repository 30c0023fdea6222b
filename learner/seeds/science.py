"""Seeds of mathematics, the natural sciences, medicine and engineering."""

from learner.seeds.seed import Seed

SCIENCE = (
    Seed(
        name="school-mathematics",
        about="Word problems and arithmetic in a few steps",
        reasoning="light",
        examples=(
            "Mara buys 6 notebooks at $2.50 each and 4 pens at $1.20 each and pays with two $20 bills. How much "
            "change does she get?",
            "A bakery bakes 18 trays of 24 rolls every day. It sells two thirds of them before noon and 95 in the "
            "afternoon. How many rolls are left for the 7 workers to share?",
            "Tom is three times as old as his sister Kim. In eight years he will be only twice as old. How old is he?",
            "Eva drives 45 miles to her parents' house, then 30 miles more to the beach, and takes the shortest "
            "way home. How many miles does she drive on the weekend if the way home is 60 miles long?",
            "what is 15% of 240 plus 7.5% of 80",
            "Lena reads 35 pages on weekdays and 60 pages on each day of the weekend. How many weeks does she need "
            "for her two books of 885 pages in total?",
            "James earns $18 an hour and one and a half times that for every hour over 40. He worked 47 hours last "
            "week and spends half of his money on rent. How much money does he have left?",
            "There are 4 shelves in the store. The top one has 12 jars of jam, each lower one has 5 jars more than "
            "the one above it. Half of all jars are sold on Monday and 9 on Tuesday. How many jars remain?",
            "Explain to my ten-year-old how to add 3/8 and 1/6.",
            "John has twice as many marbles as Mary. Mary gives 8 marbles to her brother and then has 17 left. How "
            "many marbles do the three children have together, if the brother had 5 before?",
            "A class of 32 students goes to the zoo. Adult tickets cost $9 and children pay $5. With 4 teachers, "
            "how much do they pay for all tickets, and how much is that per student?",
            "Sarah wants to buy a bike for $240. She saves $15 each week and gets $20 from her grandmother every "
            "month. After how many months can she afford it?",
            "A farmer picks 120 pounds of apples a day for 5 days, throws away 10 percent, and fills the rest into "
            "boxes of 20 pounds that sell for $14. How much does he make?",
        ),
    ),
    Seed(
        name="advanced-mathematics",
        about="Algebra, calculus, probability, geometry and proofs from contest to university level",
        reasoning="deep",
        examples=(
            "Find all real $x$ such that $\\sqrt{x+5} + \\sqrt{20-x} = 7$. Give the sum of the solutions.",
            "Let $f$ be a polynomial with integer coefficients such that $f(1) = 4$ and $f(5) = 20$. How many "
            "values can $f(3)$ take modulo $8$?",
            "Evaluate $\\int_1^{e} x^2 \\ln x\\,dx$ and give the result in terms of $e$.",
            "Prove that a group of order 35 has exactly one subgroup of order 7.",
            "In triangle $ABC$, $AB = 7$, $BC = 8$ and $\\angle B = 120^\\circ$. Find the radius of the "
            "circumcircle and the area of the inscribed circle.",
            "How many permutations of the letters of a word with 7 distinct letters keep no letter in its place?",
            "How many elements of order two does the dihedral group of a regular hexagon have, and is its center "
            "trivial? Is every finite integral domain a field?\nA. 6, no, yes\nB. 7, no, yes\nC. 7, yes, no\nD. 3, "
            "yes, no",
            "Let V be the vector space of real symmetric 3x3 matrices with trace zero and T a linear "
            "transformation of V. What is the dimension of V, and what are the eigenvalues of T if T squared is "
            "the identity?\n(A) 3 (B) 4 (C) 5 (D) 6 (E) 8",
            "A bag holds 5 red and 7 blue balls. Three are drawn at random without replacement. What is the "
            "probability that exactly two are red? What is the expected value and the variance of the number of "
            "red balls?\n\nOptions:\nA. 0.32\nB. 0.25\nC. 0.41\nD. 0.18\nE. 0.5",
            "Which of the following series converges conditionally?\nA. sum of 1/n^2\nB. sum of (-1)^n / sqrt(n)\n"
            "C. sum of (-1)^n n\nD. sum of 1/n\nE. none of these functions is continuous",
            "Solve the differential equation y'' + 4y = sin 2t with y(0) = 1 and y'(0) = 0, and find the "
            "derivative of the solution at t = 3. Then find the maximum of the function f(x) = x^3 - 3x on the "
            "interval [0, 2].",
            "Compute $z^{12}$ for the complex number $z = \\frac{1 + i\\sqrt3}{2}$ and find the least positive "
            "integer $n$ such that $z^n = 1$.",
            "A random sample of 40 values from a normal distribution has mean 11.8 and standard deviation 0.9. "
            "Find the 95% confidence interval for the mean and test the null hypothesis that the mean is 12.",
            "For how many positive integers $n \\le 1000$ is $n^2 + 1$ divisible by $5$ but not by $25$?",
        ),
    ),
    Seed(
        name="physics",
        about="Mechanics, fields, waves, heat, quanta, relativity and astronomy",
        reasoning="deep",
        examples=(
            "A 3 kg block slides down a frictionless ramp inclined at 25 degrees from a height of 1.6 m. What is "
            "its speed at the bottom, and its kinetic energy?",
            "Why is the sky blue but the sunset red? How do photons scatter in the atmosphere?",
            "A proton enters a uniform magnetic field of 0.4 T at right angles with a velocity of 2 x 10^6 m/s. "
            "Find the radius of its path, the magnetic force and its acceleration.",
            "Monochromatic light of wavelength 520 nm falls on a double slit with a separation of 0.15 mm. How far "
            "apart are the interference fringes on a screen 2 m away?\n\nOptions:\nA. 0.7 mm\nB. 3.5 mm\nC. 6.9 "
            "mm\nD. 13.9 mm\nE. 69 mm\nF. 0.07 mm",
            "A satellite moves in a circular orbit around the Earth. If the orbital radius is reduced to a "
            "quarter, the orbital period and the gravitational potential energy of the satellite\nA. halve\nB. are "
            "divided by 8\nC. double\nD. stay the same",
            "A ball of mass 0.2 kg is thrown upward with an initial velocity of 14 m/s from a cliff 30 m high. "
            "Neglect air resistance. When does it strike the ground, and with what momentum?",
            "A particle is in the first excited state of an infinite square well of width L. Where is the "
            "probability density of the electron's wave function greatest, and what is its energy?\n(A) x = L/2 "
            "(B) x = L/4 and 3L/4 (C) x = 0 (D) x = L/3",
            "What does general relativity say about clocks near a massive body? A spaceship travels at 0.8 c past "
            "an observer: how long does its meter stick appear?",
            "Two point charges of +3 microcoulombs and -5 microcoulombs are 20 cm apart in vacuum. Find the "
            "electric field and the electric potential midway between the charges.",
            "A pendulum of length 0.9 m oscillates with small amplitude; a wave travels along a string with "
            "frequency 40 Hz. What is the wavelength, and how does the period change on the Moon?",
            "Which of these stars has the highest surface temperature, and which planet of the solar system has "
            "the densest atmosphere?\nA. a red giant\nB. a yellow dwarf\nC. a blue main-sequence star\nD. a brown "
            "dwarf",
            "An object stands 18 cm in front of a converging lens with a focal length of 12 cm. Find the position "
            "and the magnification of the image. The index of refraction of the glass is 1.5.",
            "The half-life of a radioactive nucleus is 8 days. What fraction has decayed after 20 days? How much "
            "energy in MeV is released when a neutron splits the uranium nucleus?",
            "A gas of 2 moles expands from 1 to 3 liters at a temperature of 310 K. Find the work done by the gas, "
            "the heat absorbed and the change of entropy.",
        ),
    ),
    Seed(
        name="chemistry",
        about="Reactions, structure, equilibria, and quantities of substances",
        reasoning="deep",
        examples=(
            "Balance the equation Fe2O3 + CO -> Fe + CO2 and say what is oxidised and what is reduced.",
            "What is the pH of a 0.02 M solution of acetic acid, CH3COOH? Ka = 1.8 x 10^-5. How many moles of NaOH "
            "neutralise 25.0 mL of it?",
            "How many grams of sodium chloride are needed to prepare 250 mL of a 0.15 M aqueous solution? The "
            "atomic weights are Na 23.0 and Cl 35.5.",
            "Which of the following molecules has a dipole moment of zero?\nA. NH3\nB. H2O\nC. CO2\nD. SO2\nE. "
            "CHCl3\nF. HF",
            "A sample of 4.40 g of propane gas, C3H8, is burned in excess oxygen. What volume of carbon dioxide at "
            "standard temperature and pressure is formed?\n\nOptions:\nA. 2.24 liters\nB. 4.48 liters\nC. 6.72 "
            "liters\nD. 8.96 liters\nE. 13.4 liters",
            "Explain why benzene undergoes electrophilic substitution rather than addition, unlike alkenes.",
            "For N2(g) + 3 H2(g) <-> 2 NH3(g) at 700 K the equilibrium constant is 0.0092. Calculate the standard "
            "free energy change, the enthalpy of formation of ammonia in kcal/mol and the partial pressure of H2 "
            "in atm.",
            "Predict the product when 2-butanol is heated with concentrated sulfuric acid, and name the alkene, "
            "the ketone and the carboxylic acid with four carbon atoms.",
            "Arrange the ions Na+, Mg2+, F- and O2- by ionic radius, and give the electron configuration of each.\n"
            "(A) Mg2+ < Na+ < F- < O2- (B) Na+ < Mg2+ < O2- < F- (C) O2- < F- < Na+ < Mg2+",
            "The solubility product of silver chromate is 1.1 x 10^-12. Does a precipitate of Ag2CrO4 form if 10 "
            "ml of 0.001 M AgNO3 is mixed with 10 ml of 0.001 M K2CrO4? What is the concentration of the ions?",
            "What is the hybridization of the central atom in XeF4? Compare the bond angles and the molecular "
            "orbitals of covalent compounds of sulfur, nitrogen and phosphorus.",
            "The freezing point of a solution of 12 g of an unknown compound in 200 g of water is -0.93 C. "
            "Calculate the molality and the molecular weight. What is the vapor pressure of the solution at 25 C "
            "in mm Hg?",
            "A hydrogen atom in ethyl acetate gives a quartet in the proton NMR spectrum. Why? What would the EPR "
            "spectrum of the radical anion look like?",
        ),
    ),
    Seed(
        name="biology",
        about="Cells, genes, evolution, organisms and ecosystems",
        reasoning="light",
        examples=(
            "What happens to the chromosomes and the spindle during anaphase of mitosis, and how does meiosis differ?",
            "Two pea plants that are heterozygous for seed color and seed shape are crossed. What fraction of the "
            "offspring has the recessive phenotype for both genes?",
            "Which organelle in eukaryotic cells modifies and packages proteins?\nA. the ribosome\nB. the Golgi "
            "apparatus\nC. the nucleolus\nD. the lysosome\nE. the mitochondrion",
            "Explain how natural selection can favor an allele that harms its carrier, and how species evolve by "
            "adaptation and reproductive isolation.",
            "In a population of beetles in Hardy-Weinberg equilibrium, 9 percent show a recessive phenotype. What "
            "is the frequency of heterozygous individuals?\n\nOptions:\nA. 9%\nB. 21%\nC. 30%\nD. 42%\nE. 49%\nF. "
            "91%",
            "Why do plants close the stomata of their leaves in dry weather? How do roots, xylem and phloem "
            "transport water and sugar?",
            "Describe the path of an electron through the light reactions of photosynthesis in the chloroplast, "
            "and where ATP is made.",
            "Which of the following best explains why enzymes lose activity at high temperature?\n(A) the "
            "substrate evaporates (B) the protein is denatured (C) the DNA mutates (D) the cell membrane hardens",
            "What is the difference between transcription of DNA into mRNA and translation into amino acids, and "
            "where in the cell does each occur?",
            "A lake receives fertilizer and its fish and algae die within weeks. What happens to the ecosystem, "
            "its food web, its predators and its biomass?",
            "How do bacteria pass on genes for resistance to one another? What do plasmids and viruses have to do "
            "with it?",
            "Arthropods, mollusks and vertebrates: which traits of these animals are homologous? How do birds and "
            "insects differ in their hormones, muscles and nervous systems?",
            "During the development of a frog embryo, the blastopore of the gastrula becomes the\nA. mouth\nB. "
            "anus\nC. neural tube\nD. notochord",
        ),
    ),
    Seed(
        name="medicine-and-health",
        about="Diagnosis, anatomy, drugs, nutrition, care and public health",
        reasoning="light",
        examples=(
            "A 58-year-old man with hypertension comes to the emergency department with sudden chest pain that "
            "spreads to his back. His blood pressure is 190/110 mm Hg. Which diagnosis is most likely?\nA. "
            "pericarditis\nB. aortic dissection\nC. pneumonia\nD. myocardial infarction\nE. reflux disease",
            "What are the early symptoms of type 2 diabetes, and which treatment do patients get first?",
            "Can I take ibuprofen and paracetamol on the same day for a fever, and at what dose?",
            "Which cranial nerve supplies the muscles of facial expression, and which artery supplies the lateral "
            "wall of the heart?\n(A) trigeminal (B) facial (C) vagus (D) hypoglossal (E) accessory",
            "How much vitamin D and protein should older adults get, which foods contain it, and what happens in "
            "deficiency? Does dietary fat raise cholesterol?",
            "My blood test says ferritin 9 and my doctor suspects anemia. What does it mean and what should I ask?",
            "A newborn vomits bile and a radiograph of the abdomen shows two bubbles. What is the next step in the "
            "clinical management of the infant?",
            "Which of the following viruses is transmitted to humans by mosquitoes, and against which of these "
            "infections is there a vaccine?\nA. hepatitis B virus\nB. dengue virus\nC. varicella zoster virus\nD. "
            "HIV\nE. human papillomavirus",
            "Explain what beta blockers do to the heart, and which drugs should not be combined with them.",
            "A nurse cares for a patient who is short of breath after surgery. Which position is recommended?\n\n"
            "Options:\nA. flat on the back\nB. sitting upright\nC. head down\nD. prone with arms crossed",
            "A physical examination of a woman with back pain and weakness of the left leg shows reduced reflexes. "
            "Which spinal nerve root, muscle or disc is affected, and is surgery needed?",
            "What proportion of people over 80 live with dementia, cancer or disability, and which risk factors, "
            "such as smoking, alcohol and obesity, can public health programs change?",
            "Name the bones of the wrist and the tendons and ligaments that pass over them. How long should I rest "
            "a sprained ankle?",
        ),
    ),
    Seed(
        name="engineering",
        about="Circuits, machines, structures, fluids, heat transfer, materials and control",
        reasoning="deep",
        examples=(
            "A simply supported steel beam of 20 ft span carries a uniform load. Find the maximum bending moment, "
            "the shear stress and the deflection at mid-span.",
            "A series RLC circuit has a resistor of 40 ohms, an inductor and a capacitor. What is the impedance, "
            "the resonant frequency and the quality factor?",
            "Oil flows through a pipe of 8 in. diameter. Estimate the Reynolds number and the head loss if the "
            "friction factor is 0.02, and size the centrifugal pump.\n\nOptions:\nA. 23 ft\nB. 47 ft\nC. 94 ft\nD. "
            "188 ft",
            "Design a low-pass filter with a cutoff of 3 kHz using one operational amplifier and a transistor stage.",
            "A furnace wall consists of firebrick and insulation. The surface is at 900 F. Calculate the heat loss "
            "in Btu/hr per square foot, with the thermal conductivity and the convection coefficient given.",
            "A three-phase induction motor with four poles runs at 1,440 rpm from a 50 Hz supply. The slip is\nA. "
            "2%\nB. 4%\nC. 6%\nD. 8%\nE. 10%",
            "The open-loop transfer function of a unity feedback control system is K / (s (s + 2)(s + 5)). Find "
            "the gain for which the closed loop is stable; sketch the Bode plot and the root locus.",
            "Which heat treatment should I specify for a gear made of alloy steel, and which bearing for its shaft?",
            "A Rankine cycle has a boiler, a steam turbine and a condenser. Find its thermal efficiency in percent "
            "and the steam consumption in lb per hour. The air is compressed in a nozzle; find the Mach number.",
            "A separately excited DC generator delivers 40 A at 220 V. The armature winding has 0.15 ohm. "
            "Calculate the generated voltage and the flux per pole.\n(A) 214 V (B) 220 V (C) 226 V (D) 232 V",
            "What size of bolt is needed to hold a bracket with a shear load of 4,000 lbf and a safety factor of 3?",
            "Design a 4-bit counter with flip-flops and logic gates. What is the address range of the RAM chip in "
            "a microprocessor system?",
            "An amplitude-modulated carrier of 1 MHz has sidebands. What is the bandwidth of the transmission "
            "line, the antenna impedance and the noise power at the receiver?",
        ),
    ),
)

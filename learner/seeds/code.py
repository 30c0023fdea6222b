"""Seeds of computing: theory, writing programs, reading them, and data."""

from learner.seeds.seed import Seed

CODE = (
    Seed(
        name="computer-science",
        about="Algorithms, complexity, systems, networks, security and machine learning as a subject",
        reasoning="deep",
        examples=(
            "What is the worst-case running time of quicksort on an array of n elements, and how does choosing the "
            "pivot at random help the algorithm?",
            "Which of the following problems is NP-complete? Which can be decided in polynomial time?\nA. shortest "
            "path in a graph\nB. minimum spanning tree\nC. vertex cover\nD. 2-coloring\nE. maximum flow",
            "Explain the difference between a process and a thread. When does the scheduler of the operating "
            "system cause a deadlock?",
            "A direct-mapped cache has 64 lines of 16 bytes. To which line does the memory address 1200 map, and "
            "what is the miss rate of a loop over 4096 bytes?\n(A) 5 (B) 11 (C) 12 (D) 43",
            "Show that the language of palindromes is not regular. Which grammars and which automata accept it?",
            "How does the TCP handshake work, and which packets, ports and protocols does a router or firewall see?",
            "In a system with virtual memory, the page table has 2^20 entries of 4 bytes and pages of 4 KB. How "
            "large is the address space in bits?\n\nOptions:\nA. 1 MB\nB. 4 MB\nC. 1 GB\nD. 4 GB\nE. 16 GB",
            "A hash table with 11 slots uses linear probing. In which slot does the key 40 end after inserting 7, "
            "18, 29 and 40? How deep is a binary search tree with the same keys?",
            "What does it mean that a classifier overfits the training data? How do regularization, more training "
            "examples and fewer hyperparameters change bias and variance of the model?",
            "Which of these claims about machine learning is correct?\nA. a neural network with linear activations "
            "can represent XOR\nB. L1 regularization yields sparse weights\nC. k-means is a supervised method\nD. "
            "boosting trains its trees independently",
            "Why is it insecure to encrypt two messages with the same key of a one-time pad? How do an attacker "
            "and a buffer overflow exploit software vulnerabilities?",
            "Convert the hexadecimal number 3F.A to binary and to decimal. What is the largest integer in 8-bit "
            "two's complement?",
            "Compare optimistic and pessimistic locking of transactions in a relational database with many users.",
        ),
    ),
    Seed(
        name="programming-write",
        about="Write a program, function, script, query or configuration",
        reasoning="deep",
        examples=(
            "Write a scheduler class in Python that merges overlapping bookings. Include type hints and comments.",
            "I need a bash script that renames all .jpeg files in a folder tree to .jpg and prints what it did.",
            "Implement an LRU cache class in Go with a mutex and a maximum size, and a small benchmark.",
            "Create a React component for a table with sortable columns and pagination, in TypeScript with CSS.",
            "regex to match ISO dates but not times",
            "Add an endpoint to my FastAPI app that accepts a file upload and stores it in an S3 bucket.",
            "Write unit tests with pytest for a module that parses prices, and a GitHub workflow that runs them.",
            "Give me a Dockerfile for a Node service with a non-root user and a small final image.",
            "Please complete the class so that it supports iteration and slicing, and write the docstrings.",
            "Port my JavaScript module to Rust, keep the error handling and use async where the old code used "
            "promises.",
            "Make a command line tool in Python with argparse that counts word frequencies in text files.",
            "Build a simple web page with a login form, an HTML template and a backend in Django.",
            "How do I call a REST API with basic auth in C# and deserialize the JSON response into an object?",
            "Code a snake game for the browser in one HTML file.",
        ),
    ),
    Seed(
        name="programming-read",
        about="Explain, trace, review or debug code that is given",
        reasoning="deep",
        examples=(
            "What does this function return for the input [3, 1, 2]?\n\ndef double_all(xs):\n    out = []\n    for "
            "x in xs:\n        out.insert(0, x * 2)\n    return out",
            "I expected this function to keep empty fields. Why is the output different?\n\ndef tidy(line, sep):\n"
            "    parts = line.split(sep)\n    return sep.join(part.strip().upper() for part in parts if part)",
            "Why do I get `TypeError: 'NoneType' object is not subscriptable` here?\n\nrows = items.sort()\n"
            "print(rows[0])",
            "Review this pull request and point out bugs:\n\n- if user.age > 18:\n+ if user.age >= 18 or "
            "user.guardian:\n      grant(user)",
            "My goroutines deadlock when the channel is full. What is wrong with this code?\n\nfor _, j := range "
            "jobs { ch <- j }\nwg.Wait()\nclose(ch)",
            "def without(settings, names):\n    for name in names:\n        settings.pop(name, None)\n    return "
            "list(settings.items())\n\nDoes this Python function change its input? What is the "
            "output if a name is missing?",
            "Explain what this code does line by line:\n\nwhile low <= high:\n    mid = (low + high) // 2\n    if "
            "a[mid] < key:\n        low = mid + 1\n    else:\n        high = mid - 1",
            "The build fails with `undefined reference to vtable for Shape`. Here is the stack trace and the code.",
            "Trace the variables by hand, please:\n\nstack = [9, 4, 1, 0]\nwhile stack and stack[-1] < 3:\n    "
            "stack.pop()\nstack += [3] * 2\nprint(stack)",
            "def most_common(word):\n    count = {}\n    for letter in word:\n        count[letter] = "
            "count.get(letter, 0) + 1\n    return max(count, key=count.get)\n\nWhat is the "
            "output when the input is 'mississippi'?",
            'What does this C code print?\n\nint main() { int a[] = {1, 2, 3}; int *p = a; printf("%d", *(p++ + 1)); }',
            "Find the bug: the code below should remove digits and lower every second letter.\n\nresult = ''\nfor i, "
            "c in enumerate(text):\n    if i % 2 == 0:\n        result += c.lower()\n    elif c.isdigit():\n        "
            "result = result.replace(c, '')\nreturn result",
            "Is this loop correct? It prints the list twice although the index did not change.",
        ),
    ),
    Seed(
        name="data-analysis",
        about="Queries, tables, charts, experiments and their interpretation",
        reasoning="deep",
        examples=(
            "I have a pandas dataframe with columns region, month and revenue. Show me how to get the growth per "
            "region and month with groupby.",
            "Write an SQL query for the share of customers who ordered again within a month, by cohort: SELECT ... "
            "FROM orders JOIN customers GROUP BY ...",
            "Here is our table of weekly sign-ups. Is the jump after the campaign significant, or just noise?",
            "Which chart should I use on the dashboard to compare the distribution of response times of services?",
            "Our A/B test had more conversions in variant B than in A. How do I decide whether to roll it out?",
            "Interpret the regression output below: which coefficients are significant, and how good is the fit?",
            "Excel: how do I sum a column where another column is 'open' and the date is in the current month?",
            "Describe the main trends in this table of visitors by age group from 2010 to 2020.",
            "How should I impute missing values in a time series of sensor data before fitting a forecast?",
            "Our churn model looks great on the training set and bad in production. What should I check in the data?",
            "Build a pivot table of average order value by country and channel from this CSV and tell me what "
            "stands out.",
            "Plot the correlation matrix of these columns with seaborn and explain the strongest correlations.",
            "Clean this dataset: remove duplicate rows, fix the column types and join it with the product table.",
        ),
    ),
)

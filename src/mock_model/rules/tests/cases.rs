//! Tools, questions, and the calls a person would expect.

use serde_json::{Value, json};

use super::Function;

/// A set of tools, and questions with the calls expected.
pub(super) struct Case {
    pub tools: Vec<Function>,
    pub rows: Vec<(&'static str, Value)>,
}

fn tool(name: &str, description: &str, properties: Value, required: &[&str]) -> Function {
    serde_json::from_value(json!({"name": name, "description": description, "parameters":
        {"type": "object", "properties": properties, "required": required}}))
    .expect("a tool")
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn demo() -> Vec<Function> {
    vec![
        tool(
            "get_weather",
            "Get the current weather for a city",
            json!({"city": {"type": "string"}}),
            &["city"],
        ),
        tool(
            "get_stock_price",
            "Get the current stock price for a ticker symbol",
            json!({"ticker": {"type": "string"}}),
            &["ticker"],
        ),
        tool(
            "get_news_headlines",
            "Get the latest news headlines about a topic",
            json!({"topic": {"type": "string"}}),
            &["topic"],
        ),
    ]
}

fn weather(city: &str) -> Value {
    json!(["get_weather", {"city": city}])
}

/// Written before the rules.
pub(super) fn first_cases() -> Vec<Case> {
    let units = json!(["mile", "kilometer", "pound", "kilogram", "celsius", "fahrenheit"]);
    let languages = json!(["english", "french", "german", "spanish", "japanese"]);
    vec![
        Case {
            tools: demo(),
            rows: vec![
                (
                    "What's the weather in Tokyo, what's AAPL's stock price, and what's the latest news about AI?",
                    json!([weather("Tokyo"), ["get_stock_price", {"ticker": "AAPL"}],
                        ["get_news_headlines", {"topic": "AI"}]]),
                ),
                ("Compare the weather in Tokyo and Paris", json!([weather("Tokyo"), weather("Paris")])),
                (
                    "Show me the stock prices of AAPL, MSFT and GOOG",
                    json!([["get_stock_price", {"ticker": "AAPL"}], ["get_stock_price", {"ticker": "MSFT"}],
                        ["get_stock_price", {"ticker": "GOOG"}]]),
                ),
                ("What's the weather like in Paris, France?", json!([weather("Paris, France")])),
                ("What is the capital of Peru?", json!([])),
                ("Thanks, that was helpful!", json!([])),
                (
                    "What's the weather in New York, and is it raining in Boston?",
                    json!([weather("New York"), weather("Boston")]),
                ),
                ("Any news on climate change?", json!([["get_news_headlines", {"topic": "climate change"}]])),
                ("How is Tesla stock doing?", json!([["get_stock_price", {"ticker": "Tesla"}]])),
                ("What is the temperature in são paulo right now?", json!([weather("são paulo")])),
                ("weather tokyo", json!([weather("tokyo")])),
                ("Tell me the weather in Tokyo, Tokyo and Tokyo", json!([weather("Tokyo")])),
                ("Do I need an umbrella in London tomorrow?", json!([weather("London")])),
                (
                    "Give me the latest news about Apple; also, what's the price of AAPL?",
                    json!([["get_news_headlines", {"topic": "Apple"}], ["get_stock_price", {"ticker": "AAPL"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("read_file", "Read a file from disk", json!({"path": text("Path of the file")}), &["path"]),
                tool("write_file", "Write text to a file",
                    json!({"path": text("Path of the file"), "content": text("The text to write")}),
                    &["path", "content"]),
                tool("list_directory", "List the files in a directory", json!({"path": text("Directory")}), &["path"]),
            ],
            rows: vec![
                ("Show me the contents of src/main.rs", json!([["read_file", {"path": "src/main.rs"}]])),
                (
                    "List the files in /etc and read notes.txt",
                    json!([["list_directory", {"path": "/etc"}], ["read_file", {"path": "notes.txt"}]]),
                ),
                (
                    "Write \"hello world\" to greeting.txt",
                    json!([["write_file", {"path": "greeting.txt", "content": "hello world"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("create_event", "Create a calendar event",
                    json!({"title": text("Title of the event"), "date": text("Day of the event"),
                        "time": text("Start time")}), &["title", "date"]),
                tool("list_events", "List the events on the calendar for a day", json!({"date": text("The day")}), &["date"]),
                tool("delete_event", "Delete an event from the calendar", json!({"title": text("Title of the event")}), &["title"]),
            ],
            rows: vec![
                ("What's on my calendar tomorrow?", json!([["list_events", {"date": "tomorrow"}]])),
                (
                    "Schedule a meeting with Anna on Friday at 3pm",
                    json!([["create_event", {"title": "meeting with Anna", "date": "Friday", "time": "3pm"}]]),
                ),
                ("Cancel the dentist appointment", json!([["delete_event", {"title": "dentist appointment"}]])),
            ],
        },
        Case {
            tools: vec![
                tool("convert_currency", "Convert an amount of money from one currency to another",
                    json!({"amount": {"type": "number"}, "from": text("Currency to convert from"),
                        "to": text("Currency to convert to")}), &["amount", "from", "to"]),
                tool("convert_units", "Convert a value between units of measurement",
                    json!({"value": {"type": "number"}, "from_unit": {"type": "string", "enum": units},
                        "to_unit": {"type": "string", "enum": units}}), &["value", "from_unit", "to_unit"]),
            ],
            rows: vec![
                (
                    "How much is 250 USD in EUR?",
                    json!([["convert_currency", {"amount": 250, "from": "USD", "to": "EUR"}]]),
                ),
                (
                    "Convert 99.50 euros to yen",
                    json!([["convert_currency", {"amount": 99.5, "from": "euros", "to": "yen"}]]),
                ),
                (
                    "Convert 100 USD to EUR and GBP",
                    json!([["convert_currency", {"amount": 100, "from": "USD", "to": "EUR"}],
                        ["convert_currency", {"amount": 100, "from": "USD", "to": "GBP"}]]),
                ),
                (
                    "How many kilometers are 26 miles?",
                    json!([["convert_units", {"value": 26, "from_unit": "mile", "to_unit": "kilometer"}]]),
                ),
                (
                    "Convert 72 fahrenheit to celsius",
                    json!([["convert_units", {"value": 72, "from_unit": "fahrenheit", "to_unit": "celsius"}]]),
                ),
            ],
        },
        Case {
            tools: vec![tool("translate_text", "Translate text into another language",
                json!({"text": text("The text to translate"),
                    "target_language": {"type": "string", "enum": languages}}), &["text", "target_language"])],
            rows: vec![
                (
                    "Translate 'good morning' to French",
                    json!([["translate_text", {"text": "good morning", "target_language": "french"}]]),
                ),
                (
                    "How do you say thank you very much in Japanese?",
                    json!([["translate_text", {"text": "thank you very much", "target_language": "japanese"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("send_email", "Send an email",
                    json!({"to": text("Email address of the recipient"), "subject": text("Subject line"),
                        "body": text("Text of the message")}), &["to", "subject", "body"]),
                tool("search_inbox", "Search the inbox for emails", json!({"query": text("What to search for")}), &["query"]),
            ],
            rows: vec![
                (
                    "Send an email to bob@example.com with the subject Lunch saying let's meet at noon",
                    json!([["send_email", {"to": "bob@example.com", "subject": "Lunch", "body": "let's meet at noon"}]]),
                ),
                (
                    "Search my inbox for invoices from Acme",
                    json!([["search_inbox", {"query": "invoices from Acme"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("search_customers", "Search the customer database by name", json!({"name": text("Customer name")}), &["name"]),
                tool("get_order", "Get the details of an order", json!({"order_id": {"type": "integer"}}), &["order_id"]),
                tool("list_orders", "List recent orders",
                    json!({"status": {"type": "string", "enum": ["pending", "shipped", "delivered"]},
                        "limit": {"type": "integer", "description": "How many orders"}}), &[]),
            ],
            rows: vec![
                ("Where is order 48213?", json!([["get_order", {"order_id": 48213}]])),
                ("Show me the last 5 shipped orders", json!([["list_orders", {"status": "shipped", "limit": 5}]])),
                (
                    "Find the customer Maria Lopez and order 77",
                    json!([["search_customers", {"name": "Maria Lopez"}], ["get_order", {"order_id": 77}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("set_light", "Turn a light on or off",
                    json!({"room": {"type": "string"}, "on": {"type": "boolean"}}), &["room", "on"]),
                tool("set_thermostat", "Set the temperature of the thermostat",
                    json!({"temperature": {"type": "number", "minimum": 5, "maximum": 30}}), &["temperature"]),
                tool("lock_door", "Lock a door",
                    json!({"door": {"type": "string", "enum": ["front", "back", "garage"]}}), &["door"]),
            ],
            rows: vec![
                (
                    "Turn off the lights in the kitchen and set the thermostat to 20.5 degrees",
                    json!([["set_light", {"room": "kitchen", "on": false}], ["set_thermostat", {"temperature": 20.5}]]),
                ),
                ("Lock the front door", json!([["lock_door", {"door": "front"}]])),
                ("Turn on the bedroom light", json!([["set_light", {"room": "bedroom", "on": true}]])),
                (
                    "Turn off the lights in the kitchen and the living room",
                    json!([["set_light", {"room": "kitchen", "on": false}], ["set_light", {"room": "living room", "on": false}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("search_flights", "Search for flights between two cities",
                    json!({"origin": text("Departure city"), "destination": text("Arrival city"), "date": text("Departure date")}),
                    &["origin", "destination"]),
                tool("book_hotel", "Book a hotel room",
                    json!({"city": {"type": "string"}, "nights": {"type": "integer", "minimum": 1}}), &["city", "nights"]),
            ],
            rows: vec![
                (
                    "Find flights from Berlin to San Francisco on 2026-03-14",
                    json!([["search_flights", {"origin": "Berlin", "destination": "San Francisco", "date": "2026-03-14"}]]),
                ),
                (
                    "I need a flight from Oslo to Rome next Friday and a hotel in Rome for 3 nights",
                    json!([["search_flights", {"origin": "Oslo", "destination": "Rome", "date": "next Friday"}],
                        ["book_hotel", {"city": "Rome", "nights": 3}]]),
                ),
                (
                    "Are there flights between London and Lisbon?",
                    json!([["search_flights", {"origin": "London", "destination": "Lisbon"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("find_recipe", "Find a recipe that uses the given ingredients",
                    json!({"ingredients": {"type": "array", "items": {"type": "string"}}}), &["ingredients"]),
                tool("get_nutrition", "Get nutrition facts such as calories for a food", json!({"food": {"type": "string"}}), &["food"]),
            ],
            rows: vec![
                (
                    "Find me a recipe with chicken, rice and broccoli",
                    json!([["find_recipe", {"ingredients": ["chicken", "rice", "broccoli"]}]]),
                ),
                ("How many calories are in an avocado?", json!([["get_nutrition", {"food": "avocado"}]])),
            ],
        },
        Case {
            tools: vec![
                tool("play_music", "Play music", json!({"query": text("Song, artist or genre")}), &["query"]),
                tool("set_volume", "Set the speaker volume",
                    json!({"level": {"type": "integer", "minimum": 0, "maximum": 100}}), &["level"]),
            ],
            rows: vec![
                ("Play some rock and roll", json!([["play_music", {"query": "rock and roll"}]])),
                (
                    "Play Bohemian Rhapsody by Queen, then set the volume to 40",
                    json!([["play_music", {"query": "Bohemian Rhapsody by Queen"}], ["set_volume", {"level": 40}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("calculate", "Evaluate a mathematical expression", json!({"expression": {"type": "string"}}), &["expression"]),
                tool("roll_dice", "Roll dice", json!({"sides": {"type": "integer"}, "count": {"type": "integer"}}), &["sides"]),
            ],
            rows: vec![
                ("What is 12 * (3 + 4)?", json!([["calculate", {"expression": "12 * (3 + 4)"}]])),
                ("Calculate the square root of 144", json!([["calculate", {"expression": "square root of 144"}]])),
                ("What's 15% of 240?", json!([["calculate", {"expression": "15% of 240"}]])),
            ],
        },
        Case {
            tools: vec![
                tool("set_timer", "Start a countdown timer", json!({"minutes": {"type": "integer"}}), &["minutes"]),
                tool("create_reminder", "Create a reminder",
                    json!({"text": text("What to be reminded of"), "time": text("When")}), &["text", "time"]),
            ],
            rows: vec![(
                "Set a timer for ten minutes and remind me to call mom at 6pm",
                json!([["set_timer", {"minutes": 10}], ["create_reminder", {"text": "call mom", "time": "6pm"}]]),
            )],
        },
        Case {
            tools: vec![
                tool("get_directions", "Get directions from one place to another",
                    json!({"origin": text("Start"), "destination": text("End"),
                        "mode": {"type": "string", "enum": ["driving", "walking", "transit"]}}), &["origin", "destination"]),
                tool("find_places", "Find places such as restaurants or shops near a location",
                    json!({"query": text("What kind of place"), "location": text("Where")}), &["query", "location"]),
            ],
            rows: vec![
                (
                    "How do I walk from the Louvre to Notre Dame?",
                    json!([["get_directions", {"origin": "Louvre", "destination": "Notre Dame", "mode": "walking"}]]),
                ),
                (
                    "Are there any sushi restaurants in Seattle?",
                    json!([["find_places", {"query": "sushi restaurants", "location": "Seattle"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("search_wikipedia", "Search Wikipedia", json!({"query": {"type": "string"}}), &["query"]),
                tool("define_word", "Look up the definition of a word", json!({"word": {"type": "string"}}), &["word"]),
            ],
            rows: vec![
                ("What does serendipity mean?", json!([["define_word", {"word": "serendipity"}]])),
                (
                    "Look up the French Revolution on Wikipedia",
                    json!([["search_wikipedia", {"query": "French Revolution"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool("get_current_time", "Get the current time in a timezone", json!({"timezone": {"type": "string"}}), &["timezone"]),
                tool("getSunrise", "Time of sunrise", json!({"city": {"type": "string"}}), &["city"]),
            ],
            rows: vec![(
                "What time is it in Tokyo and when is sunrise in Paris?",
                json!([["get_current_time", {"timezone": "Tokyo"}], ["getSunrise", {"city": "Paris"}]]),
            )],
        },
        Case {
            tools: vec![
                tool("create_issue", "Open an issue in the tracker",
                    json!({"title": {"type": "string"}, "labels": {"type": "array", "items": {"type": "string"}}}), &["title"]),
                tool("fetch_url", "Fetch a web page", json!({"url": {"type": "string", "format": "uri"}}), &["url"]),
                tool("web_search", "Search the web", json!({"query": {"type": "string"}}), &["query"]),
            ],
            rows: vec![
                (
                    "Open an issue titled \"Crash on startup\" with the labels bug and urgent",
                    json!([["create_issue", {"title": "Crash on startup", "labels": ["bug", "urgent"]}]]),
                ),
                (
                    "Fetch https://example.com/a?b=1 please",
                    json!([["fetch_url", {"url": "https://example.com/a?b=1"}]]),
                ),
                ("Search the web for rust async runtimes", json!([["web_search", {"query": "rust async runtimes"}]])),
            ],
        },
        Case {
            tools: vec![serde_json::from_value(json!({"name": "add_contact", "description": "Add a person to the contacts",
                "parameters": {"type": "object", "required": ["contact"],
                    "properties": {"contact": {"$ref": "#/$defs/Contact"}},
                    "$defs": {"Contact": {"type": "object", "required": ["name", "email"], "properties": {
                        "name": {"type": "string"}, "email": {"type": ["string", "null"]},
                        "favorite": {"type": "boolean"}}}}}}))
            .expect("a tool")],
            rows: vec![(
                "Add Jane Doe to my contacts, her email is jane@doe.org",
                json!([["add_contact", {"contact": {"name": "Jane Doe", "email": "jane@doe.org"}}]]),
            )],
        },
    ]
}

/// Written after the rules, which were then mended where they had failed.
pub(super) fn second_cases() -> Vec<Case> {
    vec![
        Case {
            tools: demo(),
            rows: vec![
                (
                    "What is the weather forecast for San Francisco?",
                    json!([weather("San Francisco")]),
                ),
                ("Is it cold in Oslo today?", json!([weather("Oslo")])),
                (
                    "Tokyo weather and AAPL price",
                    json!([weather("Tokyo"), ["get_stock_price", {"ticker": "AAPL"}]]),
                ),
                ("Compare Tokyo and Paris weather", json!([weather("Tokyo"), weather("Paris")])),
                ("How much is NVDA trading at?", json!([["get_stock_price", {"ticker": "NVDA"}]])),
                ("Tell me what's new with quantum computing", json!([])),
                (
                    "Give me headlines about electric cars and the weather in Detroit",
                    json!([["get_news_headlines", {"topic": "electric cars"}], weather("Detroit")]),
                ),
                (
                    "I'm flying to Berlin tomorrow. What's the weather there?",
                    json!([weather("Berlin")]),
                ),
                (
                    "what's the weather in tokyo, paris and london",
                    json!([weather("tokyo"), weather("paris"), weather("london")]),
                ),
                (
                    "Weather for New York City, stock price of TSLA and news on SpaceX please",
                    json!([weather("New York City"), ["get_stock_price", {"ticker": "TSLA"}], ["get_news_headlines", {"topic": "SpaceX"}]]),
                ),
                ("Write me a poem", json!([])),
                (
                    "What's the news about Apple and Google?",
                    json!([["get_news_headlines", {"topic": "Apple"}], ["get_news_headlines", {"topic": "Google"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "git_commit",
                    "Commit the staged changes",
                    json!({"message": text("Commit message")}),
                    &["message"],
                ),
                tool(
                    "git_log",
                    "Show the commit history",
                    json!({"limit": {"type": "integer", "description": "Number of commits"}}),
                    &[],
                ),
                tool("run_tests", "Run the test suite", json!({}), &[]),
            ],
            rows: vec![
                (
                    "Run the tests and commit with the message \"fix parser\"",
                    json!([["run_tests", {}], ["git_commit", {"message": "fix parser"}]]),
                ),
                ("Show me the last 10 commits", json!([["git_log", {"limit": 10}]])),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "create_ticket",
                    "Create a support ticket",
                    json!({"title": text("Short summary"), "priority": {"type": "string", "enum": ["low", "medium", "high"]}}),
                    &["title", "priority"],
                ),
                tool(
                    "assign_ticket",
                    "Assign a ticket to a person",
                    json!({"ticket_id": {"type": "integer"}, "assignee": text("Who gets it")}),
                    &["ticket_id", "assignee"],
                ),
            ],
            rows: vec![
                (
                    "Create a high priority ticket for broken login",
                    json!([["create_ticket", {"title": "broken login", "priority": "high"}]]),
                ),
                (
                    "Assign ticket 431 to Priya",
                    json!([["assign_ticket", {"ticket_id": 431, "assignee": "Priya"}]]),
                ),
            ],
        },
        Case {
            tools: vec![tool(
                "order_pizza",
                "Order a pizza",
                json!({"size": {"type": "string", "enum": ["small", "medium", "large"]},
                        "toppings": {"type": "array", "items": {"type": "string", "enum": ["mushrooms", "olives", "ham", "pineapple"]}},
                        "quantity": {"type": "integer", "minimum": 1}}),
                &["size", "toppings"],
            )],
            rows: vec![(
                "Order two large pizzas with olives and mushrooms",
                json!([["order_pizza", {"size": "large", "toppings": ["olives", "mushrooms"], "quantity": 2}]]),
            )],
        },
        Case {
            tools: vec![
                tool(
                    "get_distance",
                    "Distance between two cities",
                    json!({"from_city": {"type": "string"}, "to_city": {"type": "string"}}),
                    &["from_city", "to_city"],
                ),
                tool(
                    "get_population",
                    "Population of a country",
                    json!({"country": {"type": "string"}}),
                    &["country"],
                ),
            ],
            rows: vec![
                (
                    "How far is it from Madrid to Lisbon?",
                    json!([["get_distance", {"from_city": "Madrid", "to_city": "Lisbon"}]]),
                ),
                (
                    "What's the population of Japan and South Korea?",
                    json!([["get_population", {"country": "Japan"}], ["get_population", {"country": "South Korea"}]]),
                ),
                (
                    "What is the distance between Rome and Milan, and how many people live in Italy?",
                    json!([["get_distance", {"from_city": "Rome", "to_city": "Milan"}], ["get_population", {"country": "Italy"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "add_numbers",
                    "Add two numbers",
                    json!({"a": {"type": "number"}, "b": {"type": "number"}}),
                    &["a", "b"],
                ),
                tool(
                    "multiply_numbers",
                    "Multiply two numbers",
                    json!({"a": {"type": "number"}, "b": {"type": "number"}}),
                    &["a", "b"],
                ),
            ],
            rows: vec![
                ("Add 3 and 5", json!([["add_numbers", {"a": 3, "b": 5}]])),
                ("What is 6 multiplied by 7.5?", json!([["multiply_numbers", {"a": 6, "b": 7.5}]])),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "send_message",
                    "Send a text message to a contact",
                    json!({"recipient": text("Name of the contact"), "text": text("The message")}),
                    &["recipient", "text"],
                ),
                tool(
                    "make_call",
                    "Start a phone call",
                    json!({"contact": text("Who to call")}),
                    &["contact"],
                ),
            ],
            rows: vec![
                (
                    "Text Maria that I will be ten minutes late",
                    json!([["send_message", {"recipient": "Maria", "text": "I will be ten minutes late"}]]),
                ),
                ("Call Grandma", json!([["make_call", {"contact": "Grandma"}]])),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "sql_query",
                    "Run a SQL query against the database",
                    json!({"query": text("SQL")}),
                    &["query"],
                ),
                tool("list_tables", "List the tables of the database", json!({}), &[]),
            ],
            rows: vec![
                ("Which tables are in the database?", json!([["list_tables", {}]])),
                (
                    "Run the query `select count(*) from users`",
                    json!([["sql_query", {"query": "select count(*) from users"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "get_movie_showtimes",
                    "Showtimes of a movie in a city",
                    json!({"movie": {"type": "string"}, "city": {"type": "string"}, "date": text("Day")}),
                    &["movie", "city"],
                ),
                tool(
                    "get_movie_reviews",
                    "Reviews of a movie",
                    json!({"movie": {"type": "string"}}),
                    &["movie"],
                ),
            ],
            rows: vec![
                (
                    "When is Dune playing in Chicago tonight?",
                    json!([["get_movie_showtimes", {"movie": "Dune", "city": "Chicago", "date": "tonight"}]]),
                ),
                (
                    "Find reviews of The Godfather",
                    json!([["get_movie_reviews", {"movie": "The Godfather"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "searchProducts",
                    "Search the shop for products",
                    json!({"query": text("What to look for"), "maxPrice": {"type": "number", "description": "Highest price"}}),
                    &["query"],
                ),
                tool(
                    "addToCart",
                    "Add a product to the shopping cart",
                    json!({"product": text("Product"), "quantity": {"type": "integer", "default": 1}}),
                    &["product", "quantity"],
                ),
            ],
            rows: vec![
                (
                    "Search for wireless headphones under $100",
                    json!([["searchProducts", {"query": "wireless headphones", "maxPrice": 100}]]),
                ),
                (
                    "Add 3 water bottles to my cart",
                    json!([["addToCart", {"product": "water bottles", "quantity": 3}]]),
                ),
            ],
        },
    ]
}

/// Written when the rules stood; nothing was changed for them afterwards.
pub(super) fn third_cases() -> Vec<Case> {
    vec![
        Case {
            tools: demo(),
            rows: vec![
                (
                    "How's the weather in Seoul and what's Microsoft stock at?",
                    json!([weather("Seoul"), ["get_stock_price", {"ticker": "Microsoft"}]]),
                ),
                ("Will it snow in Denver this weekend?", json!([weather("Denver")])),
                (
                    "I'd like to know the price of GOOGL",
                    json!([["get_stock_price", {"ticker": "GOOGL"}]]),
                ),
                (
                    "top stories on the World Cup",
                    json!([["get_news_headlines", {"topic": "World Cup"}]]),
                ),
                ("Who are you?", json!([])),
                (
                    "Weather in Rio de Janeiro; news about football; price for PBR",
                    json!([weather("Rio de Janeiro"), ["get_news_headlines", {"topic": "football"}], ["get_stock_price", {"ticker": "PBR"}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "get_user",
                    "Look up a user by id",
                    json!({"user_id": {"type": "integer"}}),
                    &["user_id"],
                ),
                tool(
                    "deactivate_user",
                    "Deactivate a user account",
                    json!({"user_id": {"type": "integer"}, "reason": text("Why")}),
                    &["user_id"],
                ),
            ],
            rows: vec![
                ("Look up user 42", json!([["get_user", {"user_id": 42}]])),
                ("Deactivate user 17", json!([["deactivate_user", {"user_id": 17}]])),
                (
                    "Get users 3 and 9",
                    json!([["get_user", {"user_id": 3}], ["get_user", {"user_id": 9}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "start_workout",
                    "Start a workout",
                    json!({"activity": {"type": "string", "enum": ["running", "cycling", "swimming"]}, "duration_minutes": {"type": "integer"}}),
                    &["activity"],
                ),
                tool(
                    "log_meal",
                    "Log a meal",
                    json!({"description": text("What was eaten"), "calories": {"type": "integer"}}),
                    &["description"],
                ),
            ],
            rows: vec![
                (
                    "Start a 30 minute cycling workout",
                    json!([["start_workout", {"activity": "cycling", "duration_minutes": 30}]]),
                ),
                (
                    "Log my lunch: pasta with pesto, 650 calories",
                    json!([["log_meal", {"description": "pasta with pesto", "calories": 650}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "resize_image",
                    "Resize an image",
                    json!({"path": text("Image file"), "width": {"type": "integer"}, "height": {"type": "integer"}}),
                    &["path", "width", "height"],
                ),
                tool(
                    "rotate_image",
                    "Rotate an image",
                    json!({"path": text("Image file"), "degrees": {"type": "number"}}),
                    &["path", "degrees"],
                ),
            ],
            rows: vec![
                (
                    "Resize photo.jpg to 800 by 600",
                    json!([["resize_image", {"path": "photo.jpg", "width": 800, "height": 600}]]),
                ),
                (
                    "Rotate cat.png by 90 degrees and dog.png by 45 degrees",
                    json!([["rotate_image", {"path": "cat.png", "degrees": 90}], ["rotate_image", {"path": "dog.png", "degrees": 45}]]),
                ),
            ],
        },
        Case {
            tools: vec![
                tool(
                    "lookup_ip",
                    "Geolocate an IP address",
                    json!({"ip": {"type": "string"}}),
                    &["ip"],
                ),
                tool(
                    "dns_lookup",
                    "Resolve a domain name",
                    json!({"domain": {"type": "string"}, "record_type": {"type": "string", "enum": ["A", "AAAA", "MX", "TXT"]}}),
                    &["domain"],
                ),
            ],
            rows: vec![
                ("Where is the IP address 8.8.8.8?", json!([["lookup_ip", {"ip": "8.8.8.8"}]])),
                (
                    "Find the MX records of example.com",
                    json!([["dns_lookup", {"domain": "example.com", "record_type": "MX"}]]),
                ),
            ],
        },
        Case {
            tools: vec![tool(
                "book_table",
                "Book a table at a restaurant",
                json!({"restaurant": {"type": "string"}, "people": {"type": "integer"}, "time": {"type": "string"}}),
                &["restaurant", "people", "time"],
            )],
            rows: vec![(
                "Book a table for four people at Chez Panisse at 7:30pm",
                json!([["book_table", {"restaurant": "Chez Panisse", "people": 4, "time": "7:30pm"}]]),
            )],
        },
        Case {
            tools: vec![
                tool(
                    "summarize",
                    "Summarize a text",
                    json!({"text": {"type": "string"}, "max_words": {"type": "integer"}}),
                    &["text"],
                ),
                tool(
                    "count_words",
                    "Count the words of a text",
                    json!({"text": {"type": "string"}}),
                    &["text"],
                ),
            ],
            rows: vec![(
                "How many words are in \"the quick brown fox\"?",
                json!([["count_words", {"text": "the quick brown fox"}]]),
            )],
        },
    ]
}

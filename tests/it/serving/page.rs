//! The page in a real browser.

use serde_json::{Value, json};

use super::browser::{Browser, in_browser};
use super::http::Served;
use crate::support::cli::{MockModel, Place, ends_soon};

const QUESTION: &str =
    "What's the weather in Tokyo, what's AAPL's stock price, and what's the latest news about AI?";

const TOOLS: usize = 3;
const RUNNING: &str = "[data-call][data-state=running]";
const ANSWERED: &str = "[data-turn][data-state=answered]";
const REPORTED: &str = "[data-round='1'][data-state=done][data-numbers=report]";

/// A server whose tools take so many milliseconds each.
fn serve(place: &Place, latencies_ms: [u32; TOOLS], more: &[&str]) -> Served {
    let settings = latencies_ms.iter().enumerate().flat_map(|(tool, latency_ms)| {
        let latency = format!("tools[{tool}].simulate.latency_ms={latency_ms}");
        let limit = format!("tools[{tool}].time_limit_ms=120000");
        ["--set".to_owned(), latency, "--set".to_owned(), limit]
    });
    let settings: Vec<String> =
        settings.chain(more.iter().map(|more| (*more).to_owned())).collect();
    Served::start(place, &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Asks on the first page, which goes on to the new session. Gives the session's id.
async fn ask(browser: &Browser, served: &Served, question: &str) -> String {
    browser.open(&format!("http://{}/", served.addr)).await;
    browser.type_into("#ask", question).await;
    browser.click("#send").await;
    browser.shows("[data-turn]").await;
    let id = browser.look("document.querySelector('.session').dataset.session").await;
    id.as_str().expect("an id").to_owned()
}

async fn round(served: &Served, session: &str) -> Value {
    served.get(&format!("/v1/sessions/{session}/rounds/1")).await.json().await
}

/// How the page writes milliseconds that are less than ten seconds.
fn written(ms: &Value) -> String {
    match ms.as_f64().expect("milliseconds") {
        ms if ms < 0.05 => "0 ms".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms => format!("{:.0} ms", ms.round()),
    }
}

/// The page hurts none of its own rules, and asks nobody but its server.
async fn is_well_behaved(browser: &Browser, served: &Served) {
    assert_eq!(browser.complaints().await, Vec::<Value>::new());
    let own = format!("http://{}/", served.addr);
    let addresses = browser.addresses().await;
    assert!(
        addresses.len() > 5 && addresses.iter().all(|url| url.starts_with(&own)),
        "{addresses:#?}"
    );
}

#[test]
fn three_lanes_run_at_the_same_time_and_end_with_the_numbers_of_the_report() {
    in_browser(async |browser| {
        let place = Place::new();
        let served = serve(&place, [1500, 2000, 1700], &["--set", "model.offline_pace_ms=20"]);
        browser.open(&format!("http://{}/", served.addr)).await;
        browser.until("document.querySelector('#link').dataset.link === 'polling'").await;
        browser.is_readable("no-sessions").await;
        let session = ask(browser, &served, QUESTION).await;

        let widths = format!(
            "(() => {{
                const bars = [...document.querySelectorAll({RUNNING:?} + ' .bar[data-phase=running]')];
                const widths = bars.map((bar) => bar.getBoundingClientRect().width);
                return widths.length === {TOOLS} && widths.every((width) => width > 3) ? widths : null;
            }})()"
        );
        let at_first = browser.until(&widths).await;
        assert_eq!(browser.text("#state").await, "running");
        let has_grown = format!(
            "((now) => now && now.every((width, place) => width > {at_first}[place]))({widths})"
        );
        browser.until(&has_grown).await;

        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        let report = round(&served, &session).await;
        let facts = [
            ("wall", "wall_ms"),
            ("sum", "sum_ms"),
            ("saved", "saved_ms"),
            ("model", "model_ms"),
            ("round", "round_ms"),
            ("overlap", "overlap_ms"),
            ("overhead", "overhead_ms"),
        ];
        for (fact, field) in facts {
            let shown = browser.text(&format!("[data-round='1'] [data-fact={fact}] dd")).await;
            assert_eq!(shown, written(&report[field]), "{fact}");
        }
        let speedup = report["speedup"].as_f64().expect("a number");
        assert!(speedup > 2.0, "{report:#}");
        assert_eq!(browser.text("[data-fact=speedup] dd").await, format!("×{speedup:.2}"));
        let calls = report["calls"].as_array().expect("calls");
        assert_eq!(calls.len(), TOOLS);
        for (ordinal, call) in calls.iter().enumerate() {
            let outcome = call["outcome"].as_str().expect("an outcome");
            let lane =
                format!("[data-call='1-1-{ordinal}'][data-state=ended][data-outcome={outcome}]");
            assert_eq!(browser.text(&format!("{lane} td.num")).await, written(&call["ran_ms"]));
            let is_critical = browser.count(&format!("{lane}[data-critical]")).await == 1;
            assert_eq!(is_critical, call["id"] == report["critical_call"], "{ordinal}");
        }
        let answer = browser.text("[data-role=answer]").await;
        assert!(answer.contains("temp_f 71") && answer.contains("price 198.5"), "{answer}");
        browser.is_readable("answered").await;
        browser.click("[data-call='1-1-0'] button").await;
        assert!(browser.text("[data-part=result] pre").await.contains("\"temp_f\": 71"));
        browser.is_readable("opened").await;

        browser.click("[data-nav=sessions]").await;
        browser.shows(&format!("tr[data-session='{session}'][data-state=idle]")).await;
        browser.is_readable("sessions").await;
        is_well_behaved(browser, &served).await;
    });
}

#[test]
fn a_turn_is_cancelled_and_what_had_ended_stays() {
    in_browser(async |browser| {
        let place = Place::new();
        let served = serve(&place, [60_000, 100, 60_000], &[]);
        let session = ask(browser, &served, QUESTION).await;
        browser.shows("[data-call='1-1-1'][data-outcome=ok]").await;
        browser.click("#cancel").await;
        browser.shows("[data-turn][data-state=cancelled]").await;
        browser.shows(REPORTED).await;
        browser.shows("#state[data-state=idle]").await;
        assert_eq!(browser.count("[data-call][data-outcome=cancelled]").await, 2);
        assert_eq!(browser.count("[data-call][data-outcome=ok]").await, 1);
        assert!(browser.text("[data-role=error]").await.contains("cancelled"));
        let report = round(&served, &session).await;
        let outcomes =
            report["calls"].as_array().expect("calls").iter().map(|call| &call["outcome"]);
        assert!(outcomes.eq(&[json!("cancelled"), json!("ok"), json!("cancelled")]));
        browser.is_readable("cancelled").await;
        is_well_behaved(browser, &served).await;
    });
}

#[test]
fn a_call_that_waits_for_a_person_is_approved_after_a_reload() {
    in_browser(async |browser| {
        let place = Place::new();
        let served = serve(&place, [10, 10, 10], &["--set", "tools[0].approval=always"]);
        let session = ask(browser, &served, QUESTION).await;
        let question = "[data-approval='1-1-0']";
        browser.shows(question).await;
        browser.reload().await;
        browser.shows(question).await;
        browser.shows("#state[data-state=waiting]").await;
        assert!(browser.text(&format!("{question} pre")).await.contains("\"city\": \"Tokyo\""));
        browser.is_readable("approval").await;
        browser.click(&format!("{question} [data-decision=edit]")).await;
        let arguments = &format!("{question} textarea");
        browser.replace(arguments, "[]").await;
        browser.click(&format!("{question} [data-decision=approve]")).await;
        browser
            .until("document.querySelector('[data-approval] [role=alert]').checkVisibility()")
            .await;
        browser.is_readable("approval-edited").await;
        browser.replace(arguments, r#"{"city": "London"}"#).await;
        browser.click(&format!("{question} [data-decision=approve]")).await;
        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        assert_eq!(browser.count(question).await, 0);
        let report = round(&served, &session).await;
        let call = &report["calls"][0];
        assert!(call["outcome"] == "ok" && call.to_string().contains("London"), "{call:#}");
        is_well_behaved(browser, &served).await;
    });
}

#[test]
fn a_reload_in_mid_round_shows_it_go_on() {
    in_browser(async |browser| {
        let place = Place::new();
        let served = serve(&place, [2500, 3000, 60_000], &[]);
        let session = ask(browser, &served, QUESTION).await;
        let all_run = format!("document.querySelectorAll({RUNNING:?}).length === {TOOLS}");
        browser.until(&all_run).await;
        browser.reload().await;
        // What began before the reload is drawn from its beginning.
        browser.until(&all_run).await;
        browser.shows("#link[data-link=live]").await;
        browser.shows("[data-call='1-1-0'][data-outcome=ok]").await;
        browser.shows("[data-call='1-1-1'][data-outcome=ok]").await;
        // One call is cancelled from its lane; the round ends, and the turn with it.
        browser.click("[data-call='1-1-2'] button").await;
        browser.click("[data-cancel-call='1-1-2']").await;
        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        assert_eq!(browser.count("[data-turn]").await, 1);
        assert_eq!(browser.texts("[data-role=prompt]").await, [QUESTION]);
        assert_eq!(browser.count("[data-call][data-state=ended]").await, TOOLS as u64);
        let report = round(&served, &session).await;
        for (ordinal, call) in report["calls"].as_array().expect("calls").iter().enumerate() {
            let time = browser.text(&format!("[data-call='1-1-{ordinal}'] td.num")).await;
            let seconds = format!("{:.1} s", call["ran_ms"].as_f64().expect("a time") / 1000.0);
            assert!(time == written(&call["ran_ms"]) || time == seconds, "{time}: {call:#}");
            assert_eq!(call["attempts"], 1, "{call:#}");
        }
        is_well_behaved(browser, &served).await;
    });
}

#[test]
fn a_turn_that_was_cut_with_its_server_is_resumed_from_the_page() {
    in_browser(async |browser| {
        let place = Place::new();
        let settings = [
            "--set",
            "model.provider=offline",
            "--set",
            "tools[0].simulate.latency_ms=60000",
            "--set",
            "tools[0].time_limit_ms=120000",
            "--set",
            "tools[1].simulate.latency_ms=10",
        ];
        let mut served = Served::start(&place, &settings);
        let session = ask(browser, &served, QUESTION).await;
        browser.shows("[data-call='1-1-1'][data-outcome=ok]").await;
        let mut killed = served.child.take().expect("it runs");
        killed.kill().expect("it is killed");
        ends_soon(killed);
        browser.shows("#link[data-link=lost]").await;
        assert_eq!(browser.count("[data-turn]").await, 1, "what is known stays");

        let again =
            ["serve", "--no-resume", "--bind", &served.addr, "--set", "model.provider=offline"];
        served.child = Some(place.serve(&again).0);
        browser.shows("#state[data-state=cut]").await;
        browser.shows("[data-round='1'][data-state=cut]").await;
        browser.is_readable("cut").await;
        browser.click("#resume").await;
        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        assert_eq!(browser.count("[data-turn]").await, 1);
        assert_eq!(browser.count("[data-call][data-outcome=ok]").await, TOOLS as u64);
        assert_eq!(round(&served, &session).await["calls"].as_array().map(Vec::len), Some(TOOLS));
        browser.is_readable("resumed").await;
    });
}

/// Markup that tells on itself, if anything takes it for more than text.
const MARKUP: &str = r#"<script>window.hit = 1; alert(1)</script><img src=x onerror="window.hit = 2"><b id=made>bold</b><a href="javascript:alert(4)">here</a>"#;

#[test]
fn markup_from_a_person_a_model_and_a_tool_is_only_ever_text() {
    in_browser(async |browser| {
        let config = format!(
            "[[tools]]\nname = 'echo'\nkind = 'command'\ndescription = '''{MARKUP}'''\neffects = 'none'\n\
             argv = ['sh', '-c', 'cat; exit $(cat code)']\nstdin = '{{text}}'\n\
             parameters = {{ type = 'object', properties = {{ text = {{ type = 'string' }} }}, required = ['text'] }}\n"
        );
        let call =
            format!("calls = [{{ name = 'echo', arguments = {{ text = '''{MARKUP}''' }} }}]");
        let script = format!(
            "[[reply]]\ntext = '''{MARKUP}'''\n{call}\n[[reply]]\ntext = '''{MARKUP}'''\n\
             [[reply]]\nstatus = 401\nbody = {{ error = {{ message = '''{MARKUP}''' }} }}\n"
        );
        let place = Place::new()
            .file("config.toml", &config)
            .file("script.toml", &script)
            .file("code", "0");
        let model = MockModel::start(&place, Some("script.toml"));
        let setting = model.setting();
        let served = Served::start(&place, &["--set", "model.provider=openai", "--set", &setting]);
        let session = ask(browser, &served, MARKUP).await;
        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        browser.click("[data-call='1-1-0'] button").await;
        for part in [
            "[data-role=prompt]",
            "[data-role=reply]",
            "[data-role=answer]",
            "[data-part=result] pre",
        ] {
            assert_eq!(browser.text(part).await, MARKUP, "{part}");
        }
        let arguments = browser.text("[data-part=arguments] pre").await;
        assert_eq!(
            serde_json::from_str::<Value>(&arguments).expect("JSON"),
            json!({"text": MARKUP})
        );
        assert!(browser.text("h1").await.starts_with("<script>window.hit"));
        browser.is_readable("markup").await;
        is_only_text(browser).await;

        browser.type_into("#ask", MARKUP).await;
        browser.click("#send").await;
        browser.shows("[data-turn][data-state=failed]").await;
        assert!(
            browser.text("[data-turn='2'] [data-role=error]").await.contains("<img src=x onerror")
        );
        browser.is_readable("markup-failed").await;
        is_only_text(browser).await;

        std::fs::write(place.path("code"), "1").expect("a file");
        browser.click("[data-nav=tools]").await;
        browser.shows("[data-tool=echo] .about").await;
        assert_eq!(browser.text("[data-tool=echo] .about").await, MARKUP);
        browser.click("[data-action=call]").await;
        browser.replace("[data-tool=echo] textarea", &json!({"text": MARKUP}).to_string()).await;
        browser.click("[data-action=send]").await;
        browser.shows("[data-tool=echo] .result [data-outcome=tool_error]").await;
        browser.shows("[data-tool=echo] [data-news=error]").await;
        browser.is_readable("markup-tools").await;
        is_only_text(browser).await;

        browser.click("[data-nav=sessions]").await;
        let row = format!("tr[data-session='{session}']");
        browser.shows(&row).await;
        let title = browser.text(&format!("{row} a")).await;
        assert!(title.len() > 100 && MARKUP.starts_with(title.trim_end_matches('…')), "{title}");
        browser.is_readable("markup-sessions").await;
        is_only_text(browser).await;
        is_well_behaved(browser, &served).await;
    });
}

/// Nothing in the view was made of markup, and nothing of it ran. A dialog would have failed the test.
async fn is_only_text(browser: &Browser) {
    assert_eq!(
        browser.count("main :is(script, img, #made, [href^=javascript], [onerror])").await,
        0
    );
    assert_eq!(browser.look("window.hit").await, Value::Null);
}

#[test]
fn a_token_is_asked_for_and_stands_in_no_address() {
    in_browser(async |browser| {
        let token = "a-secret-of-some-length";
        let place = Place::new().variable("ANN", token);
        let served =
            serve(&place, [10, 10, 10], &["--set", r#"server.tokens=[{name="ann",env="ANN"}]"#]);
        browser.open(&format!("http://{}/", served.addr)).await;
        browser.shows("#token-dialog[open]").await;
        browser.is_readable("token").await;
        browser.type_into("#token", "another-secret-of-some-length").await;
        browser.click("#token-send").await;
        browser
            .until("document.querySelector('#token-title').textContent.includes('refused')")
            .await;
        browser.type_into("#token", token).await;
        browser.click("#token-send").await;
        browser.until("!document.querySelector('#token-dialog[open]')").await;
        browser.type_into("#ask", QUESTION).await;
        browser.click("#send").await;
        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        browser.reload().await; // It is known to this tab.
        browser.shows(&format!("{ANSWERED} {REPORTED}")).await;
        assert_eq!(browser.count("#token-dialog[open]").await, 0);
        assert!(browser.count("#forget:not([hidden])").await == 1);
        let shown = browser
            .look("document.documentElement.outerHTML + location.href + document.cookie")
            .await;
        assert!(!shown.as_str().expect("text").contains(token));
        let addresses = browser.addresses().await;
        let events = |url: &&String| url.contains("/v1/sessions/ann%3A") && url.contains("/events");
        assert_eq!(addresses.iter().filter(events).count(), 2, "{addresses:#?}");
        assert!(addresses.iter().all(|url| !url.contains("secret")), "{addresses:#?}");
        // All that the browser complains of is that it was refused at first.
        let complaints = browser.complaints().await;
        let is_refusal =
            |entry: &Value| entry["message"].as_str().is_some_and(|text| text.contains("401"));
        assert!(!complaints.is_empty() && complaints.iter().all(is_refusal), "{complaints:#?}");
    });
}

#[test]
fn a_tool_is_called_and_restarted_and_its_times_are_shown() {
    in_browser(async |browser| {
        let place = Place::new();
        let served = serve(&place, [40, 10, 10], &["--set", "tools[1].simulate.crash_after=1"]);
        ask(browser, &served, QUESTION).await;
        browser.shows(ANSWERED).await;
        browser.click("[data-nav=tools]").await;
        let card = "[data-tool=get_weather]";
        browser.shows(card).await;
        assert_eq!(browser.count("[data-tool][data-state=ready]").await, TOOLS as u64);
        let told = served.get("/v1/tools").await.json().await;
        let mut tools = told["tools"].as_array().expect("tools").iter();
        let tool = tools.find(|tool| tool["name"] == "get_weather").expect("it is there");
        for percentile in ["p50", "p95", "p99"] {
            let shown = browser.text(&format!("{card} [data-fact={percentile}] dd")).await;
            assert_eq!(shown, written(&tool["ran_ms"][percentile]), "{tool:#}");
        }
        let crashed = "[data-tool=get_stock_price]";
        assert_eq!(browser.text(&format!("{crashed} [data-fact=restarts] dd")).await, "1");
        let news = browser.texts(&format!("{crashed} [data-news]")).await;
        assert!(news.len() == 2 && news.iter().all(|news| news.contains("panic")), "{news:?}");

        browser.click(&format!("{card} [data-action=call]")).await;
        browser.replace(&format!("{card} textarea"), r#"{"city": "Tokyo"}"#).await;
        browser.click(&format!("{card} [data-action=send]")).await;
        browser.shows(&format!("{card} .result [data-outcome=ok]")).await;
        let result = browser.text(&format!("{card} [data-part=result] pre")).await;
        assert!(result.contains("\"temp_f\": 71"), "{result}");
        let calls = format!("document.querySelector('{card} [data-fact=calls] dd').textContent");
        browser.until(&format!("{calls} === '2'")).await;

        browser.click(&format!("{card} [data-action=restart]")).await;
        browser.shows("#confirm-dialog[open]").await;
        browser.is_readable("restart").await;
        browser.click("#confirm-yes").await;
        browser.shows(&format!("{card} [data-news=restart]")).await;
        assert_eq!(browser.text(&format!("{card} [data-fact=restarts] dd")).await, "1");
        browser.is_readable("tools").await;
        assert_eq!(browser.count("#problems .problem").await, 0);
        is_well_behaved(browser, &served).await;
    });
}

//! A real browser, told what to do through its driver (W3C WebDriver, in JSON over HTTP).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::http;
use crate::support::cli::Place;

/// How long something may take to show on the page.
const PATIENCE: Duration = Duration::from_secs(30);
/// The widths at which the page has to be readable, each with a height.
const SIZES: [(u32, u32); 3] = [(400, 860), (800, 900), (1600, 1000)];
/// Whether a time at the axis of a waterfall stands in the way of the one before it.
const MARKS_MEET: &str = "[...document.querySelectorAll('.axis span + span')].some((mark) =>
    mark.getBoundingClientRect().left < mark.previousSibling.getBoundingClientRect().right)";

const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Chromium with one window and a profile of its own. It ends with the test.
pub struct Browser {
    driver: Child,
    addr: String,
    session: String,
    _home: Place,
}

/// Runs `test` in a browser if `CALLSHEET_CHROMEDRIVER` names its driver.
pub fn in_browser(test: impl AsyncFnOnce(&Browser)) {
    match std::env::var("CALLSHEET_CHROMEDRIVER") {
        Ok(driver) => http::run(async { test(&Browser::start(&driver).await).await }),
        Err(_) => writeln!(std::io::stderr(), "skipped: CALLSHEET_CHROMEDRIVER is not set")
            .expect("stderr is there"),
    }
}

impl Browser {
    async fn start(driver: &str) -> Self {
        let home = Place::new();
        let mut command = Command::new(driver);
        command.arg("--port=0").env("HOME", home.path("")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("the driver runs");
        let mut lines = BufReader::new(driver.stdout.as_mut().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next().expect("it says its port").expect("text");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        drop(lines);
        let profile = format!("--user-data-dir={}", home.path("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let mut browser =
            Self { driver, addr: format!("127.0.0.1:{port}"), session: String::new(), _home: home };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = browser.tell("POST", "/session", &wanted).await;
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    async fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let answer = http::send(&self.addr, method, path, "", &body).await;
        let (status, mut answer) = (answer.status, answer.json().await);
        assert_eq!(status, 200, "{path} {body}: {answer:#}");
        answer["value"].take()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.tell("POST", &format!("/session/{}{path}", self.session), &body).await
    }

    pub async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    pub async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// What `expression` is in the page.
    pub async fn look(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until `expression` is true in the page, and gives what it is.
    pub async fn until(&self, expression: &str) -> Value {
        let began = Instant::now();
        loop {
            let found = self.look(expression).await;
            if !matches!(&found, Value::Null | Value::Bool(false)) {
                return found;
            }
            if began.elapsed() > PATIENCE {
                let text = self.look("document.body.innerText").await;
                panic!(
                    "{expression} has not come true; the page says:\n{}",
                    text.as_str().unwrap_or("")
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until there is something that `selector` selects.
    pub async fn shows(&self, selector: &str) {
        self.until(&format!("document.querySelector({}) !== null", json!(selector))).await;
    }

    /// How many elements `selector` selects.
    pub async fn count(&self, selector: &str) -> u64 {
        let count = format!("document.querySelectorAll({}).length", json!(selector));
        self.look(&count).await.as_u64().expect("a number")
    }

    /// The text of what `selector` selects, one element after the other.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let selector = json!(selector);
        let texts =
            format!("[...document.querySelectorAll({selector})].map((one) => one.textContent)");
        serde_json::from_value(self.look(&texts).await).expect("texts")
    }

    /// The text of the one element that `selector` selects.
    pub async fn text(&self, selector: &str) -> String {
        let mut texts = self.texts(selector).await;
        assert_eq!(texts.len(), 1, "{selector}: {texts:?}");
        texts.remove(0)
    }

    /// Clicks at what `selector` selects, as a person would: it is scrolled to, and must not be covered.
    pub async fn click(&self, selector: &str) {
        let scroll = format!(
            "document.querySelector({}).scrollIntoView({{block: 'center'}})",
            json!(selector)
        );
        self.look(&scroll).await;
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Types `text` into what `selector` selects.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/value"), json!({"text": text})).await;
    }

    /// Empties a field, and types `text` into it.
    pub async fn replace(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/clear"), json!({})).await;
        self.post(&format!("/element/{element}/value"), json!({"text": text})).await;
    }

    async fn element(&self, selector: &str) -> String {
        let using = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", using).await;
        let id = found.as_object().and_then(|found| found.values().next());
        id.and_then(Value::as_str).expect("an element").to_owned()
    }

    /// What the browser has complained of since this was asked last.
    pub async fn complaints(&self) -> Vec<Value> {
        self.log("browser").await
    }

    /// Every address that the page has asked for since this was asked last.
    pub async fn addresses(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let messages = log.iter().map(|entry| {
            let text = entry["message"].as_str().expect("a message");
            serde_json::from_str::<Value>(text).expect("JSON")["message"].take()
        });
        let requests = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        let url = |message: Value| message["params"]["request"]["url"].as_str().map(str::to_owned);
        // What the browser shows before the first page is not ours.
        requests.filter_map(url).filter(|url| url.starts_with("http")).collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", json!({"type": kind})).await;
        log.as_array().expect("a list").clone()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Looks at the page at each width, dark and light: nothing sticks out, and whatever can be used
    /// has a name for those who do not see it. Keeps pictures where `CALLSHEET_SCREENSHOTS` says.
    pub async fn is_readable(&self, name: &str) {
        for (width, height) in SIZES {
            self.resize(width, height).await;
            let root = "document.documentElement";
            let sizes = self.look(&format!("[{root}.scrollWidth, {root}.clientWidth]")).await;
            assert!(sizes[0].as_u64() <= sizes[1].as_u64(), "{name} sticks out: {sizes}");
            assert_eq!(self.look(MARKS_MEET).await, false, "{name} at {width} px");
            let Ok(directory) = std::env::var("CALLSHEET_SCREENSHOTS") else { continue };
            for scheme in ["dark", "light"] {
                let feature = json!({"name": "prefers-color-scheme", "value": scheme});
                self.devtools("Emulation.setEmulatedMedia", json!({"features": [feature]})).await;
                let taken = self.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
                let picture = from_base64(taken["data"].as_str().expect("a picture"));
                let path = format!("{directory}/{name}-{width}-{scheme}.png");
                fs::write(path, picture).expect("the directory can be written");
            }
        }
        self.names_everything(name).await;
    }

    async fn resize(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        // The page draws what follows from its width in the next frame.
        let drawn = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))";
        self.post("/execute/async", json!({"script": drawn, "args": []})).await;
    }

    /// What a screen reader can act upon, or is told to be a landmark or table, has a name.
    async fn names_everything(&self, name: &str) {
        self.devtools("Accessibility.enable", json!({})).await;
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
        let roles =
            ["button", "link", "textbox", "table", "dialog", "heading", "rowheader", "navigation"];
        let nodes = tree["nodes"].as_array().expect("a tree").iter();
        let used = nodes.filter(|node| node["ignored"] == false).filter(|node| {
            node["role"]["value"].as_str().is_some_and(|role| roles.contains(&role))
        });
        let mut count = 0;
        for node in used {
            let called = node["name"]["value"].as_str().unwrap_or("");
            assert!(!called.trim().is_empty(), "{name}: something has no name: {node:#}");
            count += 1;
        }
        assert!(count > 2, "{name}: only {count} things are named");
    }
}

impl Drop for Browser {
    /// The driver ends the browser only if it is told to; and a test that fails cannot wait for it.
    fn drop(&mut self) {
        let (addr, path) = (self.addr.clone(), format!("/session/{}", self.session));
        let end = async move {
            let ended = http::send(&addr, "DELETE", &path, "", "");
            tokio::time::timeout(Duration::from_secs(10), ended).await.is_ok()
        };
        let _ = std::thread::spawn(|| http::run(end)).join();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value =
        |digit: u8| DIGITS.iter().position(|known| *known == digit).expect("a digit") as u32;
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | value(*digit));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
    });
    bytes.collect()
}

#[test]
fn pictures_come_out_of_base64_as_they_went_in() {
    assert_eq!(from_base64("TWFu"), b"Man");
    assert_eq!(from_base64("TWE="), b"Ma");
    assert_eq!(from_base64("iVBORw0KGgo="), b"\x89PNG\r\n\x1a\n");
}

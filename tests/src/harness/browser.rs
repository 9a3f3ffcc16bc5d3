//! Chromium without a window, driven by the protocol that all browsers have for tests (W3C WebDriver).

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::agent;

/// What has not happened after this time never will.
const HANGS: Duration = Duration::from_secs(30);

/// A browser with one page; ended when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    /// Of the browser; nothing of anybody's is in it.
    _profile: TempDir,
}

impl Browser {
    /// Starts it with a window of this size.
    pub(crate) fn start(width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("chromedriver cannot be started: {error}; `cargo xtask setup` installs it")
            });
        let stdout = BufReader::new(driver.stdout.take().expect("stdout is piped"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = port.expect("chromedriver says where it listens");
        // It writes more, which somebody has to read.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.path().display()),
            &format!("--window-size={width},{height}"),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let base = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self {
            driver,
            session: base,
            _profile: profile,
        };
        let session = browser.post("", &capabilities);
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        // The window that was asked for may be another one without a screen.
        browser.resize(width, height);
        browser
    }

    /// Gives what is seen of the page this size, as on a phone or a large screen.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.post("/goog/cdp/execute", &command);
    }

    /// Has the page in the colours for this preference: `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": features });
        self.post("/goog/cdp/execute", &command);
    }

    /// Loads a page.
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What the body of a function gives back.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&self, expression: &str) {
        let begun = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != true {
            if begun.elapsed() > HANGS {
                let shown = self.run("return document.body.innerText");
                panic!(
                    "never {expression}; the page says {shown} and {:?}",
                    self.complaints()
                );
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Clicks on an element.
    pub(crate) fn click(&self, selector: &str) {
        let at = self.center(selector, 0.5);
        self.pointer(&[("pointerMove", at), ("pointerDown", at), ("pointerUp", at)]);
    }

    /// Drags over an element, from and to these parts of its width.
    pub(crate) fn drag(&self, selector: &str, from: f64, to: f64) {
        let (start, end) = (self.center(selector, from), self.center(selector, to));
        self.pointer(&[
            ("pointerMove", start),
            ("pointerDown", start),
            ("pointerMove", end),
            ("pointerUp", end),
        ]);
    }

    /// Types into what has the focus; keys without a letter by their code points in the protocol.
    pub(crate) fn keys(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            let stroke = |kind: &str| json!({ "type": kind, "value": key.to_string() });
            [stroke("keyDown"), stroke("keyUp")]
        });
        let strokes: Vec<Value> = strokes.collect();
        let source = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("/actions", &json!({ "actions": [source] }));
    }

    /// Writes what is seen into a file.
    pub(crate) fn screenshot(&self, path: &Path) {
        let image = self.get("/screenshot");
        let image = STANDARD.decode(image.as_str().expect("an image is text"));
        std::fs::write(path, image.unwrap()).unwrap();
    }

    /// What the console has to complain about, since the last call.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().into_iter().flatten();
        let severe =
            entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    fn center(&self, selector: &str, part: f64) -> (i64, i64) {
        let script = format!(
            "const element = document.querySelector({});
             element.scrollIntoView({{ block: 'center' }});
             const place = element.getBoundingClientRect();
             return [place.left + place.width * {part}, place.top + place.height / 2].map(Math.round)",
            json!(selector)
        );
        let place = self.run(&script);
        (place[0].as_i64().unwrap(), place[1].as_i64().unwrap())
    }

    fn pointer(&self, steps: &[(&str, (i64, i64))]) {
        let actions = steps.iter().map(|(kind, (x, y))| match *kind {
            "pointerMove" => json!({ "type": kind, "x": x, "y": y, "duration": 30 }),
            _ => json!({ "type": kind, "button": 0 }),
        });
        let actions: Vec<Value> = actions.collect();
        let source = json!({
            "type": "pointer",
            "id": "mouse",
            "parameters": { "pointerType": "mouse" },
            "actions": actions,
        });
        self.post("/actions", &json!({ "actions": [source] }));
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = agent(HANGS)
            .post(&url)
            .header("content-type", "application/json");
        value(&url, request.send(body.to_string().as_bytes()))
    }

    fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.session);
        value(&url, agent(HANGS).get(&url).call())
    }
}

fn value(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    let mut answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
    let body = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_vec();
    let mut body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert!(answer.status().is_success(), "{url}: {body}");
    body["value"].take()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, too; the driver alone would leave it behind.
        let _ = agent(HANGS).delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where screenshots are kept, to be looked at when a test fails.
pub(crate) fn screenshots() -> PathBuf {
    let folder = super::place("PROFILER_FIXTURES", "fixtures").with_file_name("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

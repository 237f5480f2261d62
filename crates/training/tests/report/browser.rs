//! A headless Chromium, driven over its DevTools protocol.
//!
//! The protocol runs over two pipes (`--remote-debugging-pipe`): the browser reads messages from
//! file descriptor 3 and writes them to 4, each ended by a zero byte. A shell ties those to the
//! child's standard input and output, so nothing but the standard library is needed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Names under which systems have the browser.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Switches off what a browser does besides showing a page.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                     --disable-background-networking --disable-component-update --disable-sync \
                     --disable-dev-shm-usage --remote-debugging-pipe";

/// A page in a browser.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    /// Everything that the browser told without being asked.
    pub events: Vec<Value>,
}

/// The browser to test with.
///
/// Where there is none the test says so and passes, unless `LDROP_BROWSER=required` is set, as the
/// gate does.
pub fn wanted() -> Option<&'static str> {
    let found = installed();
    if found.is_none() {
        let required = std::env::var_os("LDROP_BROWSER").is_some();
        assert!(
            !required,
            "no Chromium or Chrome is installed, and LDROP_BROWSER is set"
        );
        eprintln!("not tested: no Chromium or Chrome is installed");
    }
    found
}

/// The name of a browser on this system.
fn installed() -> Option<&'static str> {
    let is_there = |name: &&&str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {name}")])
            .output();
        found.is_ok_and(|found| found.status.success())
    };
    NAMES.iter().find(is_there).copied()
}

impl Browser {
    /// Starts a browser with an empty page; `profile` is a folder for its files.
    pub fn start(name: &str, profile: &Path) -> Self {
        let profile = format!("--user-data-dir={}", profile.display());
        let script = format!("exec {name} {FLAGS} \"$0\" 3<&0 4>&1 1>&2");
        let mut process = Command::new("sh")
            .args(["-c", &script, &profile])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut browser = Self {
            input: process.stdin.take().expect("piped"),
            output: BufReader::new(process.stdout.take().expect("piped")),
            process,
            session: None,
            next: 0,
            events: Vec::new(),
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.ask("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(Into::into);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method of the protocol and waits for its result.
    #[track_caller]
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser listens");
        loop {
            let mut answer = self.receive();
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    fn receive(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output
            .read_until(0, &mut bytes)
            .expect("the browser answers");
        assert_eq!(bytes.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// Shows a file, in a window of this size, and waits until it is there.
    pub fn open(&mut self, file: &Path, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        self.events.clear();
        let url = format!("file://{}", file.display());
        self.ask("Page.navigate", json!({"url": url}));
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.receive();
            self.events.push(event);
        }
    }

    /// The value of a JavaScript expression, or of the promise that it gives.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.ask("Runtime.evaluate", parameters);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].take()
    }

    /// Moves, presses or releases the mouse (`mouseMoved`, `mousePressed`, `mouseReleased`), with
    /// its button held or not.
    pub fn mouse(&mut self, kind: &str, (x, y): (f64, f64), held: bool) {
        let button = if held || kind != "mouseMoved" {
            "left"
        } else {
            "none"
        };
        let buttons = u8::from(held);
        let parameters = json!({
            "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1,
        });
        self.ask("Input.dispatchMouseEvent", parameters);
    }

    /// Presses and releases a key.
    pub fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({"type": kind, "key": key}));
        }
    }

    /// Writes a picture of the whole page.
    pub fn picture(&mut self, file: &Path) {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        self.save("Page.captureScreenshot", whole, file);
    }

    /// Writes the page as it is printed.
    pub fn print(&mut self, file: &Path) {
        self.save("Page.printToPDF", json!({"printBackground": false}), file);
    }

    fn save(&mut self, method: &str, parameters: Value, file: &Path) {
        let data = self.ask(method, parameters);
        let bytes = decoded(data["data"].as_str().expect("data"));
        std::fs::write(file, bytes).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Bytes of a text in base 64.
fn decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bits, mut count, mut bytes) = (0, 0, Vec::new());
    for c in text.bytes().filter(|&c| c != b'=') {
        bits = (bits << 6 | value(c)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

//! A browser without a window, told what to do over a pipe (Chrome DevTools Protocol, one message after each zero byte).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{foreign, wait};

/// One page in a browser of its own, gone with the value.
pub struct Browser {
    process: Child,
    pipe: Mutex<Pipe>,
    session: String,
    _profile: TempDir,
}

struct Pipe {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    last: u64,
}

impl Browser {
    /// Starts one with an empty page; `None`, loudly, where none is installed.
    ///
    /// # Panics
    /// If it is there and does not come up.
    pub fn start() -> Option<Self> {
        let whole = foreign::find("chromium");
        let program = whole.or_else(|| foreign::need("chromium-headless-shell"))?;
        let profile = tempfile::Builder::new().prefix("wharf-browser-").tempdir().expect("a folder can be made");
        // It reads descriptor 3 and writes descriptor 4; the shell makes them of the two pipes that every child can have.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"]).arg(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", profile.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the browser can be executed");
        let requests = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let pipe = Mutex::new(Pipe { requests, answers, last: 0 });
        let mut browser = Self { process, pipe, session: String::new(), _profile: profile };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser.call("Emulation.setFocusEmulationEnabled", &json!({ "enabled": true }));
        Some(browser)
    }

    /// Goes to an address and waits until its page is there.
    ///
    /// # Panics
    /// If it does not come.
    pub fn open(&self, url: &str) {
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(answer["errorText"], Value::Null, "{url}");
        self.until("the page is loaded", "location.href !== 'about:blank' && document.readyState === 'complete'");
    }

    /// Lets pages of an origin read what was copied, which people are asked about.
    ///
    /// # Panics
    /// If the browser does not know of that.
    pub fn allow_clipboard(&self, origin: &str) {
        let permissions = json!(["clipboardReadWrite", "clipboardSanitizedWrite"]);
        self.call("Browser.grantPermissions", &json!({ "origin": origin, "permissions": permissions }));
    }

    /// The value of an expression in the page, as if a person had just clicked there.
    ///
    /// # Panics
    /// With what it threw, if it did.
    pub fn value(&self, expression: &str) -> Value {
        let question =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", &question);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// If it does not become true, with what the page shows.
    pub fn until(&self, what: &str, expression: &str) {
        let seen = wait::within(wait::PATIENCE, || (self.value(expression) == json!(true)).then_some(()));
        assert!(seen.is_some(), "{what} does not come about; the page:\n{}", self.value("document.body.innerText"));
    }

    /// Asks the browser, or the page once there is one.
    fn call(&self, method: &str, parameters: &Value) -> Value {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.last += 1;
        let number = pipe.last;
        let mut message = json!({ "id": number, "method": method, "params": parameters });
        if !self.session.is_empty() && !method.starts_with("Browser.") {
            message["sessionId"] = json!(self.session);
        }
        pipe.requests.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let mut answer = Vec::new();
            pipe.answers.read_until(0, &mut answer).expect("the browser answers");
            assert!(answer.pop().is_some(), "the browser has ended during {method}");
            let mut answer: Value = serde_json::from_slice(&answer).expect("the browser speaks JSON");
            // Everything else is about events that nobody has asked for.
            if answer["id"] == json!(number) {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let closing = "{\"id\":0,\"method\":\"Browser.close\"}\0";
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked to, it ends its helpers as well; where it no longer listens, it has ended.
        let asked = pipe.requests.write_all(closing.as_bytes()).is_ok();
        let ended = asked && wait::within(wait::PATIENCE, || self.process.try_wait().ok().flatten()).is_some();
        if !ended {
            drop((self.process.kill(), self.process.wait()));
        }
    }
}

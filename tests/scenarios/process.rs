//! The real binary: what it says, how it ends, reload and drain.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use copal_testkit::{Answer, Client, ScriptedOrigin, patiently};

pub(crate) fn copal(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_copal")).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder of this test's own, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("copal-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running `copal run`; killed when the test ends.
pub(crate) struct Running {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Running {
    pub(crate) fn start(config: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_copal"))
            .args(["run", "--config", config])
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said, heard: String::new() }
    }

    /// Reads what it says until a line has this in it.
    pub(crate) fn hear(&mut self, wanted: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without saying {wanted:?}; it said:\n{}", self.heard);
            self.heard.push_str(&line);
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// Waits until it has said where it listens.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.hear("127.0.0.1:");
        let mut words = line.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        let address = words.find(|word| word.starts_with("127.0.0.1:")).unwrap();
        address.trim_end_matches(['.', ':']).parse().unwrap()
    }

    /// All that it says until it ends.
    pub(crate) fn rest(&mut self) -> String {
        self.said.read_to_string(&mut self.heard).unwrap();
        self.heard.clone()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn exit_status_tells_done_failed_and_wrong() {
    let folder = Folder::new("status");
    let good = folder.file("good.yaml", "origins: {cms: 'http://127.0.0.1:9000'}\n");
    let bad = folder.file("bad.yaml", "orgins: {cms: 'http://127.0.0.1:9000'}\nrules: [{nam: x}]\n");
    assert_eq!(copal(&["check", "--config", &good]).status.code(), Some(0));
    let wrong = copal(&["check", "--config", &bad]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = text(&wrong.stderr);
    for part in ["bad.yaml:1:1", "orgins", "origins", "bad.yaml:2:9"] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert_eq!(copal(&["run", "--config", &bad]).status.code(), Some(2));
    assert_eq!(copal(&["check", "--config", "/nowhere/copal.yaml"]).status.code(), Some(2));
    assert_eq!(copal(&["frobnicate"]).status.code(), Some(2));
    assert_eq!(copal(&["--help"]).status.code(), Some(0));
    assert_eq!(copal(&["purge", "http://127.0.0.1:1/x"]).status.code(), Some(1));
}

#[test]
fn esi_puts_a_template_together_without_a_network() {
    let folder = Folder::new("esi");
    let file = folder.file(
        "page.html",
        "<p>\n<esi:choose><esi:when test=\"$(HTTP_COOKIE{group})=='a'\"><esi:include src=\"/a\"/></esi:when>\
         <esi:otherwise>nobody</esi:otherwise></esi:choose><esi:nonsense/>\n</p>\n",
    );
    let output = copal(&["esi", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.starts_with("Tree\n  text, 4 bytes\n  choose (line 2)\n    when\n"), "{printed}");
    assert!(printed.contains(&format!("Warnings\n  {file}:2:")), "{printed}");
    assert!(printed.ends_with("Page\n<p>\nnobody\n</p>\n"), "{printed}");
    let output = copal(&["esi", &file, "--page", "--cookie", "group=a"]);
    assert_eq!(text(&output.stdout), "<p>\n<!-- include /a -->\n</p>\n");
    assert!(text(&output.stderr).contains(":2:"), "{}", text(&output.stderr));
    assert_eq!(copal(&["esi", "/no/such/file"]).status.code(), Some(2));
}

#[test]
fn explain_says_rule_decision_key_and_cookies_without_a_network() {
    let folder = Folder::new("explain");
    let config = folder.file(
        "copal.yaml",
        "origins: {cms: 'http://127.0.0.1:1'}\nsessions: {cookies: ['SESS*']}\nrules:\n  - {name: pages, match: {path: '/**'}, cache: {ttl: 1h, key: {cookies: [lang]}}}\n",
    );
    let explained = |arguments: &[&str]| {
        let mut all = vec!["explain", "--config", &config];
        all.extend(arguments);
        let output = copal(&all);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let guest = explained(&["http://Example.com:80/a/../b?x=1", "--cookie", "lang=de", "--cookie", "_ga=1"]);
    for part in ["pages", "cache", "http://example.com/b?x=1", "lang", "_ga"] {
        assert!(guest.contains(part), "{part} is not in:\n{guest}");
    }
    let user = explained(&["http://example.com/b", "--cookie", "SESSabc=1"]);
    assert!(user.contains("pass") && user.contains("session-cookie") && user.contains("SESSabc"), "{user}");
    let post = explained(&["http://example.com/b", "--method", "POST"]);
    assert!(post.contains("pass"), "{post}");
}

#[test]
fn shipped_policies_are_printed_and_pass_their_cases() {
    let listed = text(&copal(&["policy"]).stdout);
    for name in ["default", "wagtail"] {
        assert!(listed.contains(name), "{listed}");
        let printed = copal(&["policy", name]);
        assert!(text(&printed.stdout).contains("rules:"));
        let tested = copal(&["test", name]);
        assert_eq!(tested.status.code(), Some(0), "{}{}", text(&tested.stdout), text(&tested.stderr));
    }
    assert_eq!(copal(&["policy", "wagtial"]).status.code(), Some(2));
}

#[test]
fn a_case_that_does_not_hold_fails_the_test_command_with_its_place() {
    let folder = Folder::new("cases");
    folder.file("site.yaml", "rules: [{name: pages, match: {path: '/**'}, cache: {ttl: 1h}}]\n");
    let cases = folder.file(
        "site.cases.yaml",
        "cases:\n  - name: wrong on purpose\n    request: {url: 'http://a.example/'}\n    expect: {decision: pass}\n",
    );
    let tested = copal(&["test", &cases]);
    assert_eq!(tested.status.code(), Some(1));
    let said = text(&tested.stdout) + &text(&tested.stderr);
    assert!(said.contains("wrong on purpose") && said.contains("site.cases.yaml:"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_atomic_a_bad_file_changes_nothing_and_sigterm_drains() {
    let origin = ScriptedOrigin::start().await;
    origin.on("/p", Answer::ok("x").header("cache-control", "max-age=60"));
    let (gate, slow) = Answer::gated("slow");
    origin.on("/slow", slow);
    let folder = Folder::new("reload");
    let yaml = |extra: &str| {
        format!(
            "listen: [{{address: '127.0.0.1:0'}}]\nlog: {{access: off}}\norigins: {{cms: '{}'}}\n{extra}",
            origin.url()
        )
    };
    let config = folder.file("copal.yaml", &yaml(""));
    let mut running = Running::start(&config);
    let mut client = Client::connect(running.address()).await;
    assert_eq!(client.get("/p").send().await.status, 200);

    fs::write(&config, yaml("rules: [{name: tea, match: {path: /tea}, respond: {status: 418}}]\n")).unwrap();
    running.signal("-HUP");
    running.hear("reloaded");
    assert_eq!(client.get("/tea").send().await.status, 418);
    assert!(client.get("/p").send().await.header("cache-status").unwrap().contains("hit"), "what is stored stays");

    fs::write(&config, yaml("rules: [{name: tea}]\n")).unwrap();
    running.signal("-HUP");
    running.hear("refused");
    assert_eq!(client.get("/tea").send().await.status, 418);

    let asking = tokio::spawn(async move { client.get("/slow").send().await });
    origin.wait_until("the slow request", |requests| requests.iter().any(|request| request.target == "/slow")).await;
    running.signal("-TERM");
    running.hear("drain");
    gate.open();
    assert_eq!(asking.await.unwrap().text(), "slow", "a request under way is finished");
    assert_eq!(patiently(|| "the end of the process".to_owned(), async { running.ended() }).await, Some(0));
    let mut rest = String::new();
    running.said.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("panic"), "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn esi_max_includes_is_told_of_and_a_reload_with_a_larger_one_is_enough() {
    let origin = ScriptedOrigin::start().await;
    origin.on("/f", "x");
    let template = Answer::ok("<esi:include src='/f'/>".repeat(5) + "<esi:include src='http://elsewhere.example/'/>");
    origin.on("/page", template.header("content-type", "text/html"));
    let folder = Folder::new("max-includes");
    let yaml = |most: usize| {
        format!(
            "listen: [{{address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\nlog: {{access: off}}\n\
             origins: {{cms: '{}'}}\nesi: {{max_includes: {most}}}\nrules: [{{name: all, cache: {{ttl: 1h}}, esi: true}}]\n",
            origin.url()
        )
    };
    let config = folder.file("copal.yaml", &yaml(2));
    let mut running = Running::start(&config);
    let [first, second] = [running.address(), running.address()];
    let (client, admin) = (Client::connect(first).await, Client::connect(second).await);
    let (mut client, mut admin) = (client.with_host("test.example"), admin);
    let page = |got: copal_testkit::ClientResponse| got.text().to_owned();
    for _ in 0..2 {
        // Once as it comes in, and once from the store.
        assert_eq!(page(client.get("/page").send().await), "xx");
        let line = running.hear("max_includes");
        assert!(line.contains("esi.max_includes") && line.contains("http://test.example/page"), "{line}");
    }
    let metrics = page(admin.get("/metrics").send().await);
    assert!(metrics.contains("copal_esi_limits_total{limit=\"max_includes\"} 2\n"), "{metrics}");

    fs::write(&config, yaml(10)).unwrap();
    running.signal("-HUP");
    running.hear("reloaded");
    assert_eq!(page(client.get("/page").send().await), "xxxxx");
    assert_eq!(origin.count("/page"), 1, "what was stored is whole");
    let line = running.hear("ESI fragment failed");
    assert!(line.contains("http://test.example/page") && line.contains("http://elsewhere.example/"), "{line}");
}

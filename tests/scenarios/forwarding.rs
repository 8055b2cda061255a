//! What the origin sees: the normal form of the URL, nothing unkeyed that could change the answer (DESIGN 2.3).

use copal_testkit::{Answer, Gets, Sees, Sends};

use crate::front::Front;

#[tokio::test]
async fn spellings_of_one_url_are_one_key_and_the_origin_sees_the_normal_form() {
    let front = Front::with("rules: [{name: p, cache: {ttl: 1h}}]").await;
    front.origin.on("/a/b~?q=%2F", Answer::ok("x"));
    let mut client = front.client().await;
    for (target, host) in [
        ("/a/./c/../b%7e?q=%2f", "test.example"),
        ("/a/b~?q=%2F", "TEST.example:80"),
        ("/a/%62~?q=%2F", "test.example."),
        ("http://test.example/a/b~?q=%2F", "ignored.example"),
    ] {
        let got = client.get(target).host(host).send().await;
        assert_eq!(got.text(), "x", "{target}");
    }
    assert_eq!(front.origin.requests().len(), 1);
    assert_eq!(front.origin.last().target, "/a/b~?q=%2F");
}

#[tokio::test]
async fn rewriting_fields_of_strangers_are_withheld() {
    let front =
        Front::with("rules: [{name: pass, match: {path: /pass}, pass: true}, {name: p, cache: {ttl: 1h}}]").await;
    let mut scenario = front.scenario();
    let fields = [
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("forwarded", "host=evil.example"),
        ("proxy", "evil:1"),
    ];
    for path in ["/p", "/pass"] {
        let mut sends = Sends::get(path).header("x-forwarded-for", "6.6.6.6").header("user-agent", "test");
        let mut sees = Sees::get(path).header("x-forwarded-for", "127.0.0.1").header("user-agent", "test");
        for (name, value) in fields {
            sends = sends.header(name, value);
            sees = sees.without(name);
        }
        if path == "/p" {
            sends = sends.header("x-http-method-override", "DELETE");
            sees = sees.without("x-http-method-override");
        }
        scenario.exchange(path, sends, sees.answers(Answer::ok("x")), Gets::status(200)).await;
    }
}

#[tokio::test]
async fn the_visitors_address_goes_along_unless_a_rule_takes_it_off() {
    let off = "request: {remove: [X-Forwarded-For]}";
    let yaml = format!(
        "rules: [{{name: off, match: {{path: /off}}, cache: {{ttl: 1h}}, {off}}}, {{name: pass, match: {{path: /pass}}, pass: true, {off}}}, {{name: p, cache: {{ttl: 1h}}}}]"
    );
    let front = Front::with(&yaml).await;
    for (path, told) in [("/p", Some("127.0.0.1")), ("/off", None), ("/pass", None)] {
        front.origin.on(path, Answer::ok("x"));
        front.get(path).await;
        assert_eq!(front.origin.last().header("x-forwarded-for"), told, "{path}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_scheme_and_client() {
    let front = Front::with("trusted_proxies: [127.0.0.0/8]\nrules: [{name: p, cache: {ttl: 1h}}]").await;
    let mut scenario = front.scenario();
    for proto in ["https", "http"] {
        let sees = Sees::get("/p").header("x-forwarded-for", "6.6.6.6, 127.0.0.1").header("x-forwarded-proto", proto);
        scenario
            .exchange(
                "each scheme is a key of its own",
                Sends::get("/p").header("x-forwarded-for", "6.6.6.6").header("x-forwarded-proto", proto),
                sees.answers(Answer::ok(proto)),
                Gets::status(200).body(proto),
            )
            .await;
    }
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_both_ways() {
    let front = Front::with("").await;
    let mut scenario = front.scenario();
    let answer = Answer::ok("x").header("connection", "x-hop").header("x-hop", "1").header("keep-alive", "timeout=1");
    scenario
        .exchange(
            "nominated fields go no further",
            Sends::get("/p").header("connection", "x-mine").header("x-mine", "1").header("te", "gzip"),
            Sees::get("/p").without("x-mine").without("te").answers(answer.header("cache-control", "max-age=9")),
            Gets::status(200).without("x-hop").without("keep-alive"),
        )
        .await;
    scenario.exchange("stored without", Sends::get("/p"), Sees::nothing(), Gets::status(200).without("x-hop")).await;
}

#[tokio::test]
async fn a_request_that_comes_back_to_this_server_is_refused() {
    let front = Front::with("").await;
    front.origin.on("/p", Answer::ok("x"));
    front.get("/p").await;
    let via = front.origin.last().header("via").unwrap().to_owned();
    let mut client = front.client().await;
    let got = client.get("/p").header("via", via).send().await;
    assert_eq!(got.status, 508);
    let other = client.get("/q").header("via", "1.1 copal (ffff)").send().await;
    assert_eq!(other.status, 404, "another Copal's request is served");
}

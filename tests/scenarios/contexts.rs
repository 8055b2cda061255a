//! User context: pages of logged-in visitors are stored once for each group, and nobody ever gets another group's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use copal_testkit::{Answer, Client, Gets, Sees, Sends};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::front::Front;

/// By hand: the page's origin sees the group only.
const GROUPS: &str = "contexts: {team: {path: /group, header: X-Group, cookies: [sid]}}
rules:
  - {name: own, match: {path: /own}, pass: true}
  - {name: pages, cache: {ttl: 1h}, context: team, esi: auto}";

/// FOSHttpCache: it sees the session too.
const FOS: &str = "contexts:
  fos:
    path: /_fos_user_context_hash
    accept: application/vnd.fos.user-context-hash
    cookies: [PHPSESSID]
    credentials: forward
rules: [{name: pages, cache: {default_ttl: 1h}, context: fos}]";

fn group(name: &str) -> Answer {
    Answer::ok("").header("x-group", name).header("cache-control", "private, max-age=600")
}

fn sid(value: &str) -> String {
    format!("_ga=1; sid={value}")
}

fn why(part: &str) -> Gets {
    Gets::status(200).header_containing("cache-status", part)
}

#[tokio::test]
async fn two_users_of_one_group_share_a_page_and_another_group_does_not() {
    let front = Front::with(GROUPS).await;
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "the group is asked for with the session alone, the page with the group alone",
            Sends::get("/p?a=1").header("cookie", sid("ada")).header("authorization", "Basic YTpi").header("x-a", "1"),
            [
                Sees::get("/group")
                    .header("cookie", "sid=ada")
                    .header("authorization", "Basic YTpi")
                    .without("x-a")
                    .without("x-group")
                    .answers(group("editors")),
                Sees::get("/p?a=1")
                    .header("x-group", "editors")
                    .without("cookie")
                    .without("authorization")
                    .answers(Answer::ok("for editors").header("vary", "X-Group")),
            ],
            why("fwd=uri-miss; fwd-status=200; stored; detail=miss")
                .body("for editors")
                .header("vary", "authorization, cookie")
                .header("cache-control", "private, no-cache")
                .without("x-group"),
        )
        .await;
    scenario
        .exchange(
            "the second user's group is asked for, the page is there",
            Sends::get("/p?a=1").header("cookie", sid("bob")),
            Sees::get("/group").header("cookie", "sid=bob").without("authorization").answers(group("editors")),
            why("hit").body("for editors").header("vary", "authorization, cookie"),
        )
        .await;
    scenario
        .exchange(
            "both are known",
            Sends::get("/p?a=1").header("cookie", "sid=bob"),
            Sees::nothing(),
            why("detail=hit").body("for editors"),
        )
        .await;
    scenario
        .exchange(
            "another group has a page of its own",
            Sends::get("/p?a=1").header("cookie", "sid=eve"),
            [
                Sees::get("/group").answers(group("readers")),
                Sees::get("/p?a=1").header("x-group", "readers").answers(Answer::ok("for readers")),
            ],
            Gets::status(200).body("for readers"),
        )
        .await;
    scenario
        .exchange(
            "after logout the page is a guest's, for whom nobody is asked",
            Sends::get("/p?a=1").header("cookie", "_ga=1"),
            Sees::get("/p?a=1").without("x-group").without("cookie").answers("for guests"),
            why("stored").body("for guests").header("vary", "authorization, cookie").without("cache-control"),
        )
        .await;
    for (cookie, page) in [("sid=ada", "for editors"), ("sid=eve", "for readers"), ("_ga=2", "for guests")] {
        let authorization = if cookie == "sid=ada" { "Basic YTpi" } else { "" };
        let mut sends = Sends::get("/p?a=1").header("cookie", cookie);
        if !authorization.is_empty() {
            sends = sends.header("authorization", authorization);
        }
        scenario.exchange("each from the store", sends, Sees::nothing(), why("detail=hit").body(page)).await;
    }
}

#[tokio::test]
async fn a_group_that_changes_is_seen_when_its_time_is_over_or_it_is_purged() {
    let front = Front::with(GROUPS).await;
    front
        .origin
        .on("/p", Answer::from_fn(|request| Answer::ok(request.header("x-group").unwrap_or("none").to_owned())));
    front.origin.on("/group", group("editors").header("cache-tag", "user-ada"));
    let mut client = front.client().await;
    let mut page = async || client.get("/p").header("cookie", "sid=ada").send().await.text().to_owned();
    assert_eq!(page().await, "editors");
    front.origin.replace("/group", group("readers").header("cache-tag", "user-ada"));
    assert_eq!(page().await, "editors", "for ten minutes, as the origin said");
    front.clock.advance(Duration::from_secs(601));
    assert_eq!(page().await, "readers");
    front.origin.replace("/group", group("admins").header("cache-tag", "user-ada"));
    front.purge_tag("user-ada");
    assert_eq!(page().await, "admins", "by its tag");
    front.origin.replace("/group", group("editors"));
    assert_eq!(front.purge("/group").await.status, 200);
    assert_eq!(page().await, "editors", "by its URL, whosever session");
    assert_eq!(front.origin.count("/p"), 3, "the pages of the groups were there all the time");
}

#[tokio::test]
async fn without_a_group_the_page_passes_and_nobody_gets_another_ones() {
    let front = Front::with(GROUPS).await;
    front
        .origin
        .on("/p", Answer::from_fn(|request| Answer::ok(request.header("cookie").unwrap_or("guest").to_owned())));
    let mut client = front.client().await;
    assert_eq!(client.get("/p").send().await.text(), "guest");
    let long = "a".repeat(257);
    let bad = [
        Answer::status(500).header("x-group", "editors"),
        Answer::status(302).header("x-group", "editors").header("location", "/login"),
        Answer::status(404),
        Answer::ok("no field"),
        Answer::ok("").header("x-group", ""),
        Answer::ok("").header("x-group", "edi tors"),
        Answer::ok("").header("x-group", "a\"b"),
        Answer::ok("").header("x-group", &*long),
        Answer::ok("").header("x-group", "a").header("x-group", "b"),
        Answer::hang_up(),
        Answer::raw("nonsense\r\n\r\n"),
    ];
    let wrong = 2 * bad.len() as u64;
    for (number, answer) in bad.into_iter().enumerate() {
        front.origin.replace("/group", answer);
        for _ in 0..2 {
            let got = client.get("/p").header("cookie", format!("sid={number}")).send().await;
            assert_eq!(got.text(), format!("sid={number}"), "{got:?}");
            assert!(got.header("cache-status").unwrap().contains("fwd=bypass; fwd-status=200; detail=context-failed"));
            assert_eq!(got.header("cache-control"), Some("private, no-cache"));
        }
    }
    assert_eq!(client.get("/p").send().await.text(), "guest");
    let got = client.get("/p").header("cookie", "sid=0").header("cache-control", "only-if-cached").send().await;
    assert_eq!((got.status, front.origin.last().path()), (504, "/p"), "the origin is not even asked for the group");
    assert_eq!(front.groups(), (0, 0, wrong), "a question that failed gives no group");
    front.origin.replace("/group", group("editors"));
    for _ in 0..2 {
        client.get("/p").header("cookie", "sid=new").send().await;
    }
    assert_eq!(front.groups(), (1, 1, wrong));
}

#[tokio::test]
async fn a_stale_group_is_no_group() {
    let front = Front::with(GROUPS).await;
    front
        .origin
        .on("/p", Answer::from_fn(|request| Answer::ok(request.header("cookie").unwrap_or("grouped").to_owned())));
    let stale = Answer::ok("").header("x-group", "a").header("cache-control", "max-age=10, stale-if-error=900");
    front.origin.on("/group", stale);
    let mut client = front.client().await;
    assert_eq!(client.get("/p").header("cookie", "sid=1").send().await.text(), "grouped");
    front.clock.advance(Duration::from_secs(11));
    front.origin.replace("/group", Answer::status(503));
    assert_eq!(client.get("/p").header("cookie", "sid=1").send().await.text(), "sid=1");
}

#[tokio::test]
async fn a_client_that_names_its_group_is_refused() {
    let front = Front::with(FOS).await;
    front.origin.on("/p", "x");
    let mut client = front.client().await;
    let accept = "text/html, Application/vnd.FOS.user-context-hash;q=0.5";
    for (name, value) in [
        ("X-User-Context-Hash", "admins"),
        ("x-user-context-hash", ""),
        ("X_User_Context_Hash", "admins"),
        ("Accept", "application/vnd.fos.user-context-hash"),
        ("Accept", accept),
        ("Trailer", "X-User-Context-Hash"),
    ] {
        for path in ["/p", "/_fos_user_context_hash"] {
            let got = client.get(path).header(name, value).header("cookie", "PHPSESSID=1").send().await;
            assert_eq!((got.status, front.origin.requests().len()), (400, 0), "{name}: {value}");
        }
    }
    let front = Front::with("rules: [{name: pages, cache: {ttl: 1h}}]").await;
    front.origin.on("/p", "x");
    let got = front.client().await.get("/p").header("x-user-context-hash", "a").send().await;
    assert_eq!(got.status, 200, "without a context it is a field like any other");
}

#[tokio::test]
async fn cookies_beyond_the_context_decide_as_they_do_elsewhere() {
    let yaml = format!("sessions: {{cookies: [remember_me]}}\n{GROUPS}");
    let front = Front::with(&yaml).await;
    front.origin.on("/p", "x");
    front.origin.on("/own", "x");
    front.origin.on("/group", group("a"));
    let mut client = front.client().await;
    for (path, cookie, reason) in [
        ("/p", "sid=1; remember_me=1", "session-cookie"),
        ("/p", "remember_me=1", "session-cookie"),
        ("/p", "sid=1; mystery=1", "unknown-cookie"),
        ("/own", "sid=1", "pass-rule"),
    ] {
        let got = client.get(path).header("cookie", cookie).send().await;
        assert!(got.header("cache-status").unwrap().ends_with(reason), "{cookie}: {got:?}");
        assert_eq!(front.origin.last().header("cookie"), Some(cookie));
    }
    let got = client.get("/p").header("cookie", "sid=1").header("x-auth-token", "t").send().await;
    assert!(got.header("cache-status").unwrap().ends_with("authorization"), "{got:?}");
    assert_eq!(front.origin.count("/group"), 0);
}

#[tokio::test]
async fn what_is_private_or_sets_a_cookie_is_not_stored_under_a_context_either() {
    for answer in
        [Answer::ok("mine").header("cache-control", "private"), Answer::ok("mine").header("set-cookie", "a=b")]
    {
        let front = Front::with(GROUPS).await;
        front.origin.on("/group", group("a"));
        front.origin.on("/p", answer);
        let mut client = front.client().await;
        for (sid, asked) in [("1", 1), ("2", 2), ("1", 3)] {
            client.get("/p").header("cookie", format!("sid={sid}")).send().await;
            assert_eq!(front.origin.count("/p"), asked);
        }
    }
}

#[tokio::test]
async fn fragments_and_pages_have_groups_each_for_itself() {
    for (of_the_page, pages) in [("sessions: ignore", 1), ("context: team", 3)] {
        fragments_under(of_the_page, pages).await;
    }
}

async fn fragments_under(of_the_page: &str, pages: usize) {
    let front = Front::with(&format!(
        "contexts: {{team: {{path: /group, header: X-Group, cookies: [sid], anonymous: guests}}}}
rules:
  - {{name: menu, match: {{path: /menu}}, cache: {{ttl: 1h}}, context: team}}
  - {{name: footer, match: {{path: /footer}}, cache: {{ttl: 1h}}, sessions: ignore}}
  - {{name: mine, match: {{path: /mine}}, pass: true}}
  - {{name: pages, cache: {{ttl: 1h}}, {of_the_page}, esi: true}}",
    ))
    .await;
    let page = "<esi:include src='/menu'/> <esi:include src='/mine'/> <esi:include src='/footer'/>";
    front.origin.on("/p", Answer::ok(page).header("content-type", "text/html").header("cache-control", "max-age=60"));
    let seen = |name: &'static str| {
        Answer::from_fn(move |request| {
            Answer::ok(request.header(name).unwrap_or("-").to_owned()).header("cache-control", "max-age=60")
        })
    };
    front.origin.on("/menu", seen("x-group"));
    front.origin.on("/mine", seen("cookie"));
    front.origin.on("/footer", seen("x-group"));
    front.origin.on(
        "/group",
        Answer::from_fn(|request| {
            group(if request.header("cookie") == Some("sid=eve") { "readers" } else { "editors" })
        }),
    );
    let mut client = front.client().await;
    for _ in 0..2 {
        for (cookie, body) in [
            ("sid=ada", "editors sid=ada -"),
            ("sid=bob", "editors sid=bob -"),
            ("sid=eve", "readers sid=eve -"),
            ("_ga=1", "guests _ga=1 -"),
        ] {
            let got = client.get("/p").header("cookie", cookie).send().await;
            assert_eq!((got.text(), got.header("cache-control")), (body, Some("private, no-cache")));
        }
    }
    let count = |path| front.origin.count(path);
    assert_eq!((count("/p"), count("/menu"), count("/group"), count("/footer")), (pages, 3, 3, 1));
}

#[tokio::test]
async fn one_session_is_asked_for_once_however_many_ask_at_a_time() {
    let front = Front::with(GROUPS).await;
    let (gate, held) = Answer::gated(group("a"));
    front.origin.on("/group", held);
    front.origin.on("/p", "x");
    let ask = || {
        let address = front.address;
        tokio::spawn(async move {
            let mut client = Client::connect(address).await.with_host("test.example");
            client.get("/p").header("cookie", "sid=1").send().await.text().to_owned()
        })
    };
    let asking: Vec<_> = (0..20).map(|_| ask()).collect();
    front.origin.wait_for_heads(1).await;
    gate.open();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), "x");
    }
    assert_eq!((front.origin.count("/group"), front.origin.count("/p")), (1, 1));
}

#[tokio::test]
async fn an_answer_that_may_not_be_kept_is_asked_for_each_time_and_used_once() {
    let front = Front::with(GROUPS).await;
    front.origin.on("/group", Answer::ok("").header("x-group", "a").header("cache-control", "no-cache, no-store"));
    front.origin.on("/p", Answer::from_fn(|request| Answer::ok(request.header("x-group").unwrap_or("-").to_owned())));
    let mut client = front.client().await;
    for asked in 1..=3 {
        assert_eq!(client.get("/p").header("cookie", "sid=1").send().await.text(), "a");
        assert_eq!((front.origin.count("/group"), front.origin.count("/p")), (asked, 1));
    }
}

#[tokio::test]
async fn more_sessions_than_may_be_kept_push_each_other_out_and_no_page() {
    let yaml = GROUPS.replace("cookies: [sid]", "cookies: [sid], max_sessions: 3");
    let front = Front::with(&yaml).await;
    front.origin.on("/group", group("a"));
    front.origin.on("/p", "x");
    let mut client = front.client().await;
    let mut ask = async |sid: u32| {
        client.get("/p").header("cookie", format!("sid={sid}")).send().await;
        front.origin.count("/group")
    };
    for sid in 1..=3 {
        ask(sid).await;
    }
    assert_eq!(ask(1).await, 3, "three are kept");
    assert_eq!(ask(4).await, 4);
    assert_eq!(ask(1).await, 4, "used lately");
    assert_eq!(ask(2).await, 5, "used longest ago");
    assert_eq!(front.origin.count("/p"), 1);
}

#[tokio::test]
async fn a_forwarded_session_is_stored_only_where_vary_says_that_it_is_the_groups() {
    let front = Front::with(FOS).await;
    let hash = |hash: &str| {
        Answer::ok("")
            .header("content-type", "application/vnd.fos.user-context-hash")
            .header("x-user-context-hash", hash)
            .header("vary", "Cookie, Authorization")
            .header("cache-control", "max-age=600, public")
    };
    let mut scenario = front.scenario();
    scenario
        .exchange(
            "the origin sees the session and the group",
            Sends::get("/p").header("cookie", "PHPSESSID=ada; _ga=1"),
            [
                Sees::get("/_fos_user_context_hash")
                    .header("accept", "application/vnd.fos.user-context-hash")
                    .header("cookie", "PHPSESSID=ada")
                    .answers(hash("e1")),
                Sees::get("/p")
                    .header("cookie", "PHPSESSID=ada")
                    .header("x-user-context-hash", "e1")
                    .answers(Answer::ok("editors").header("vary", "X-User-Context-Hash, Accept-Encoding")),
            ],
            why("stored").body("editors").header("vary", "accept-encoding, authorization, cookie"),
        )
        .await;
    scenario
        .exchange(
            "a colleague gets it",
            Sends::get("/p").header("cookie", "PHPSESSID=bob"),
            Sees::get("/_fos_user_context_hash").answers(hash("e1")),
            why("detail=hit").body("editors"),
        )
        .await;
    for _ in 0..2 {
        scenario
            .exchange(
                "what does not say so is the user's alone",
                Sends::get("/mine").header("cookie", "PHPSESSID=bob"),
                Sees::get("/mine").header("cookie", "PHPSESSID=bob").answers(Answer::ok("hello bob")),
                why("fwd-status=200; detail=not-of-the-context").body("hello bob"),
            )
            .await;
    }
    scenario
        .exchange(
            "and a guest's needs no such word: the origin saw nothing of anybody",
            Sends::get("/mine"),
            Sees::get("/mine").without("cookie").answers(Answer::ok("hello guest")),
            why("stored").body("hello guest"),
        )
        .await;
}

/// A site with users in groups that change, before which everything happens in any order: each user only ever gets pages of
/// the group that he was in when he was last asked for.
#[derive(Clone, Debug)]
enum Step {
    Get { user: usize, page: usize, head: bool },
    Move { user: usize, group: usize },
    Logout { user: usize },
    PurgePage { page: usize },
    Wait { seconds: u64 },
    Fail { how: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let get = (0..4_usize, 0..2_usize, any::<bool>()).prop_map(|(user, page, head)| Step::Get { user, page, head });
    let moved = (0..4_usize, 0..3_usize).prop_map(|(user, group)| Step::Move { user, group });
    let others = prop_oneof![
        (0..4_usize).prop_map(|user| Step::Logout { user }),
        (0..2_usize).prop_map(|page| Step::PurgePage { page }),
        (1..700_u64).prop_map(|seconds| Step::Wait { seconds }),
        (0..4_usize).prop_map(|how| Step::Fail { how }),
    ];
    proptest::collection::vec(prop_oneof![6 => get, 2 => moved, 2 => others], 1..60)
}

/// What the origin knows: the group of each session, and how it fails when it is asked.
#[derive(Default)]
struct Site {
    groups: HashMap<String, usize>,
    failing: usize,
}

async fn play(steps: &[Step]) {
    let front = Front::with(GROUPS).await;
    let site = Arc::new(Mutex::new(Site::default()));
    let asked = Arc::clone(&site);
    front.origin.on(
        "/group",
        Answer::from_fn(move |request| {
            let site = asked.lock().unwrap();
            let cookie = request.header("cookie").unwrap_or_default();
            match (site.failing, site.groups.get(cookie)) {
                (0, Some(group)) => group_of(*group),
                (1, _) => Answer::status(503),
                (2, _) => Answer::ok("").header("cache-control", "max-age=5"),
                (3, Some(group)) => group_of(*group).header("set-cookie", "sid=other"),
                _ => Answer::status(403),
            }
        }),
    );
    for page in ["/0", "/1"] {
        front.origin.on(
            page,
            Answer::from_fn(|request| {
                let said =
                    format!("{}/{}", request.header("x-group").unwrap_or("-"), request.header("cookie").unwrap_or("-"));
                Answer::ok(said.clone()).header("x-made-for", said)
            }),
        );
    }
    let mut client = front.client().await;
    let mut here = [true; 4];
    // What a user may be shown: the groups that he was in since the last moment at which an answer may have been stored.
    let mut may_be = vec![Vec::<(usize, u64)>::new(); 4];
    let session = |user: usize| format!("sid=u{user}");
    for (user, may_be) in may_be.iter_mut().enumerate() {
        site.lock().unwrap().groups.insert(session(user), user % 3);
        may_be.push((user % 3, u64::MAX));
    }
    for step in steps {
        match step {
            Step::Move { user, group } => {
                let now = front.clock.unix_secs();
                // Until then an answer of before may be in force.
                for (_, until) in may_be[*user].iter_mut().filter(|(_, until)| *until == u64::MAX) {
                    *until = now + 600;
                }
                may_be[*user].push((*group, u64::MAX));
                site.lock().unwrap().groups.insert(session(*user), *group);
            }
            Step::Logout { user } => here[*user] = !here[*user],
            Step::PurgePage { page } => assert_eq!(front.purge(&format!("/{page}")).await.status, 200),
            Step::Wait { seconds } => front.clock.advance(Duration::from_secs(*seconds)),
            Step::Fail { how } => site.lock().unwrap().failing = *how,
            Step::Get { user, page, head } => {
                let now = front.clock.unix_secs();
                let target = format!("/{page}");
                let cookie = here[*user].then(|| session(*user));
                let request = if *head { client.head(&target) } else { client.get(&target) };
                let request = match &cookie {
                    Some(cookie) => request.header("cookie", cookie.as_str()),
                    None => request,
                };
                let got = request.send().await;
                let made_for = got.header("x-made-for").unwrap_or_default();
                let right = match &cookie {
                    None => made_for == "-/-",
                    Some(cookie) => {
                        made_for == format!("-/{cookie}")
                            || may_be[*user]
                                .iter()
                                .any(|(group, until)| now <= *until && made_for == format!("g{group}/-"))
                    }
                };
                assert!(right, "{cookie:?} got what was made for {made_for:?}");
            }
        }
    }
}

fn group_of(number: usize) -> Answer {
    group(&format!("g{number}"))
}

#[test]
fn nobody_is_shown_what_was_made_for_another_group() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(play(&steps));
            Ok(())
        })
        .unwrap();
}

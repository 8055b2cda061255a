//! `tls`: files of certificates and keys, by their form; what is in them is looked at by who speaks TLS.

use super::load::Folder;
use crate::{Diagnostic, Severity, TlsConfig, TlsFault, load_str, load_with};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nbm8ga2V5\n-----END PRIVATE KEY-----\n";

/// A folder with what examples name: PEM, of which only the form is checked here.
pub(super) fn certificates(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.file("internal-ca.pem", CERTIFICATE.repeat(2));
    folder.file("client.pem", CERTIFICATE);
    restrict(&folder.file("client.key", KEY), 0o600);
    folder
}

#[cfg(unix)]
fn restrict(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn restrict(_: &std::path::Path, _: u32) {}

#[test]
fn certificates_are_read_where_the_file_is() {
    let folder = certificates("tls");
    let text = "origins: { cms: { servers: \"https://a\", tls: { ca: internal-ca.pem, certificate: client.pem, key: client.key } } }";
    let loaded = load_str("copal.yaml", text, Some(&folder.0)).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let tls = &loaded.config.origins[0].tls;
    assert_eq!(tls.ca.as_deref(), Some(CERTIFICATE.repeat(2).as_bytes()));
    let (certificate, key) = tls.identity.as_ref().unwrap();
    assert_eq!((&**certificate, &**key), (CERTIFICATE.as_bytes(), KEY.as_bytes()));
    assert!(
        !format!("{loaded:?}").contains("bm8ga2V5")
            && !format!("{loaded:?}").contains(&format!("{:?}", KEY.as_bytes()))
    );
}

#[test]
#[cfg(unix)]
fn a_key_that_everybody_can_read_is_told_of() {
    let folder = certificates("tls-open");
    restrict(&folder.0.join("client.key"), 0o644);
    let text = "origins: { cms: { servers: \"https://a\", tls: { certificate: client.pem, key: client.key } } }";
    let warnings = load_str("copal.yaml", text, Some(&folder.0)).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.starts_with("everybody on this machine can read the private key `"), "{}", warnings[0]);
    assert!(warnings[0].hint.as_deref().unwrap().starts_with("`chmod 600 "), "{}", warnings[0]);
}

#[test]
fn what_is_wrong_with_certificates_is_said_in_full() {
    let folder = certificates("tls-wrong");
    folder.file("empty.pem", "");
    folder.file("der.pem", [0x30, 0x82, 1, 2]);
    folder.file("cut.pem", "-----BEGIN CERTIFICATE-----\nbm8g\n");
    folder.file("damaged.pem", CERTIFICATE.replace("bm8g", "b*8g"));
    folder.file("encrypted.key", KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    folder.file("two.key", KEY.repeat(2));
    folder.file("long.pem", CERTIFICATE.repeat(20_000));
    for (tls, message) in [
        ("ca: gone.pem", "cannot be used: there is none"),
        ("ca: .", "cannot be used: "),
        ("ca: long.pem", "cannot be used: it is longer than 1MiB"),
        ("ca: empty.pem", "has no certificate in it"),
        ("ca: client.key", "has no certificate in it"),
        ("ca: der.pem", "is in DER, and PEM is needed"),
        ("ca: cut.pem", "breaks off: the line `-----END CERTIFICATE-----` is missing"),
        ("ca: damaged.pem", "is damaged"),
        ("certificate: client.pem", "`certificate` is of no use without `key`"),
        ("key: client.key", "`key` is of no use without `certificate`"),
        ("certificate: client.pem, key: client.pem", "has no private key in it"),
        ("certificate: client.pem, key: encrypted.key", "has an encrypted key in it"),
        ("certificate: client.pem, key: two.key", "has more than one private key in it"),
    ] {
        let text = format!("origins: {{ cms: {{ servers: \"https://a\", tls: {{ {tls} }} }} }}");
        let found = load_str("copal.yaml", &text, Some(&folder.0)).unwrap_err();
        let errors: Vec<_> = found.0.iter().filter(|found| found.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{found}");
        assert!(errors[0].message.contains(message) && errors[0].line == 1 && errors[0].hint.is_some(), "{found}");
    }
}

/// Finds fault with every key and every `ca`.
fn strict(tls: &TlsConfig) -> Vec<TlsFault> {
    let fault = |key, message: &str| TlsFault { key, message: message.to_owned(), hint: "another one".to_owned() };
    let key = tls.identity.as_ref().map(|_| fault("key", "it belongs to another certificate"));
    key.into_iter().chain(tls.ca.as_ref().map(|_| fault("ca", "it is no authority"))).collect()
}

#[test]
fn what_is_in_the_files_is_told_with_everything_else_that_is_wrong() {
    let folder = certificates("tls-inside");
    let text = "origins:
  good: \"https://a\"
  cms:
    servers: \"https://b\"
    tls:
      ca: internal-ca.pem
      certificate: client.pem
      key: client.key
  own: { servers: \"https://c\", tls: { ca: gone.pem } }
rules: [{ nam: x }]
";
    let path = folder.file("copal.yaml", text);
    let found = load_with(&path, &strict).unwrap_err();
    let told = |told: &Diagnostic| format!("{}:{} {}", told.line, told.column, told.message);
    let shown: Vec<String> = found.0.iter().map(told).collect();
    assert_eq!(
        shown[..2],
        [
            "6:11 `ca` of origin `cms` cannot be used: it is no authority",
            "8:12 `key` of origin `cms` cannot be used: it belongs to another certificate",
        ]
    );
    assert!(shown[2].starts_with("9:43 the file ") && shown[3].starts_with("10:"), "{found}");
    assert!(found.0.iter().all(|found| found.severity == Severity::Error && found.hint.is_some()), "{found}");
    // A file whose form is wrong is not looked into.
    folder.file("copal.yaml", text.replace("key: client.key", "key: client.pem"));
    let found = load_with(&path, &strict).unwrap_err();
    assert_eq!(found.0.iter().filter(|found| (5..9).contains(&found.line)).count(), 1, "{found}");
    // With nothing to object to it loads.
    let right = text.replace(", tls: { ca: gone.pem }", "").replace("rules: [{ nam: x }]\n", "");
    folder.file("copal.yaml", right);
    assert!(load_with(&path, &|_| Vec::new()).is_ok());
}

#[test]
fn a_host_that_no_certificate_can_be_for_is_told_of() {
    let found = load_str("c", "origins: { cms: [\"https://a\", \"https://b!c:8443\"] }", None).unwrap_err();
    assert_eq!(found.0[0].message, "no certificate can be for the server's host `b!c`");
    assert_eq!((found.0.len(), found.0[0].column), (1, 31), "{found}");
    for fine in [
        "{ servers: \"https://b!c\", tls: { server_name: b } }",
        "\"http://b!c\"",
        "[\"https://[::1]:1\", \"https://10.0.0.5\", \"https://a_b.example.\"]",
    ] {
        assert!(load_str("c", &format!("origins: {{ cms: {fine} }}"), None).is_ok(), "{fine}");
    }
}

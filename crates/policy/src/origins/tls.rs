//! `tls`: files are read and checked when the configuration is.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::{Error as PemError, PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, ServerName};

use super::Files;
use crate::diagnostic::At;
use crate::reader::{Reader, Section, Wrong};
use crate::{ServerConfig, TlsConfig, TlsFault, values};

/// The system's own list of authorities is a quarter of this.
const LONGEST: u64 = 1 << 20;

/// Fine, or what is wrong with the file, and what to do.
type Checked = Result<(), (String, String)>;

/// `tls` of the origin of this name.
pub(super) fn read(reader: &mut Reader, name: &str, origin: &Section<'_>, files: &Files<'_>) -> TlsConfig {
    let section = reader.part(origin, "tls");
    let errors = reader.errors();
    let tls = form(reader, &section, files.base);
    // What is not even in the right form was told.
    if reader.errors() == errors {
        for TlsFault { key, message, hint } in (files.tls)(&tls) {
            let at = section.entry(key).map_or(section.at, |entry| entry.node.at);
            reader.error(at, format!("`{key}` of origin `{name}` cannot be used: {message}"), hint);
        }
    }
    tls
}

/// Servers whose host cannot stand in a certificate, where no other name does.
pub(super) fn hosts(reader: &mut Reader, servers: &[(ServerConfig, At)], tls: &TlsConfig) {
    let secure = servers.iter().filter(|(server, _)| server.url.is_tls() && tls.server_name.is_none());
    for (host, at) in secure.filter_map(|(server, at)| Some((server.url.authority()?.host(), at))) {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // The root's dot is no part of a name in a certificate (RFC 6066 §3).
        if ServerName::try_from(bare.strip_suffix('.').unwrap_or(bare)).is_err() {
            let hint = "name the one that its certificate has: `tls: { server_name: cms.internal }`";
            reader.error(*at, format!("no certificate can be for the server's host `{host}`"), hint);
        }
    }
}

/// What is read, where all of it has the right form.
fn form(reader: &mut Reader, section: &Section<'_>, base: &Path) -> TlsConfig {
    let verify = reader.value(section, "verify", values::boolean).unwrap_or(true);
    if !verify {
        let hint = "name the authority's certificate: `ca: /etc/copal/internal-ca.pem`; and `server_name` where the name differs";
        reader.warning(section.at_of("verify"), "anybody on the way to these servers can pretend to be one", hint);
    }
    let ca = file(reader, section, "ca", base, authorities);
    if let Some((_, at)) = ca.as_ref().filter(|_| !verify) {
        reader.warning(*at, "`ca` does nothing with `verify: false`", "leave one of them out");
    }
    for (name, other) in [("certificate", "key"), ("key", "certificate")] {
        if section.entry(name).is_some() && section.entry(other).is_none() {
            let hint = format!("add `{other}: PATH`; one file with both may stand twice");
            reader.error(section.at_of(name), format!("`{name}` is of no use without `{other}`"), hint);
        }
    }
    let certificate = file(reader, section, "certificate", base, certificates);
    let key = file(reader, section, "key", base, private_key);
    if let Some(at) = key.as_ref().map(|(_, at)| *at) {
        open_to_all(reader, section, at, base);
    }
    TlsConfig {
        server_name: reader.value(section, "server_name", server_name),
        ca: ca.map(|(pem, _)| pem),
        identity: certificate.zip(key).map(|((certificate, _), (key, _))| (certificate, key)),
        verify,
    }
}

fn server_name(text: &str) -> Result<String, Wrong> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::because("is no name that a certificate can have").hint("a host without scheme and port")),
    }
}

/// The file that `name` names, if it is what `check` wants.
fn file(
    reader: &mut Reader,
    section: &Section<'_>,
    name: &str,
    base: &Path,
    check: fn(&[u8]) -> Checked,
) -> Option<(Arc<[u8]>, At)> {
    let path = reader.value(section, name, values::text)?;
    let at = section.entry(name)?.node.at;
    let path = base.join(path);
    let shown = path.display();
    match contents(&path) {
        Err(why) => {
            let hint = "a path relative to this file, or a whole one, that Copal's user may read";
            reader.error(at, format!("the file `{shown}` cannot be used: {why}"), hint);
            None
        }
        Ok(pem) => match check(&pem) {
            Ok(()) => Some((pem.into(), at)),
            Err((why, hint)) => {
                reader.error(at, format!("the file `{shown}` {why}"), hint);
                None
            }
        },
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => "there is none".to_owned(),
        _ => error.to_string(),
    };
    let mut contents = Vec::new();
    File::open(path).map_err(told)?.take(LONGEST + 1).read_to_end(&mut contents).map_err(told)?;
    if contents.len() as u64 > LONGEST { Err("it is longer than 1MiB".to_owned()) } else { Ok(contents) }
}

fn authorities(pem: &[u8]) -> Checked {
    certificates(pem)
}

/// At least one certificate, and none that is broken.
fn certificates(pem: &[u8]) -> Checked {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(broken)?;
        count += 1;
    }
    match count {
        0 => {
            let why = match begins_as_der(pem) {
                true => "is in DER, and PEM is needed",
                false => "has no certificate in it",
            };
            let hint =
                "PEM begins with `-----BEGIN CERTIFICATE-----`; `openssl x509 -inform der -in FILE` makes it of DER";
            Err((why.to_owned(), hint.to_owned()))
        }
        _ => Ok(()),
    }
}

/// One private key.
fn private_key(pem: &[u8]) -> Checked {
    let mut keys = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, _) = section.map_err(broken)?;
        keys += usize::from(matches!(
            kind,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey
        ));
    }
    let encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
    match (keys, encrypted) {
        (_, true) => {
            let hint = "nobody is there to type a password: `openssl pkey -in FILE -out copal.key`, readable by Copal's user alone";
            Err(("has an encrypted key in it".to_owned(), hint.to_owned()))
        }
        (1, false) => Ok(()),
        (0, false) => {
            Err(("has no private key in it".to_owned(), "it begins with `-----BEGIN PRIVATE KEY-----`".to_owned()))
        }
        (_, false) => Err(("has more than one private key in it".to_owned(), "leave one of them in it".to_owned())),
    }
}

fn broken(error: PemError) -> (String, String) {
    let why = match error {
        PemError::MissingSectionEnd { end_marker } => {
            format!("breaks off: the line `-----END {}-----` is missing", String::from_utf8_lossy(&end_marker))
        }
        PemError::IllegalSectionStart { line } => {
            format!("has a line that is no beginning of a section: `{}`", String::from_utf8_lossy(&line).trim_end())
        }
        PemError::Base64Decode(_) => "is damaged: what stands between its lines of dashes is no Base64".to_owned(),
        other => format!("is no PEM: {other}"),
    };
    (why, "copy the file anew; `openssl x509 -in FILE -noout -text` reads a certificate".to_owned())
}

/// ASN.1 begins with a sequence of some length.
fn begins_as_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|length| *length >= 0x80)
}

/// A key that every account of the machine can read.
#[cfg(unix)]
fn open_to_all(reader: &mut Reader, section: &Section<'_>, at: At, base: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(path) = reader.value(section, "key", values::text).map(|path| base.join(path)) else { return };
    let mode = std::fs::metadata(&path).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    if mode & 0o007 != 0 {
        let message = format!("everybody on this machine can read the private key `{}`", path.display());
        reader.warning(at, message, format!("`chmod 600 {}`", path.display()));
    }
}

#[cfg(not(unix))]
fn open_to_all(_: &mut Reader, _: &Section<'_>, _: At, _: &Path) {}

//! Certificates for tests, made when they are needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certificate authority of a test's own.
#[derive(Clone)]
pub struct Authority {
    pem: String,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody knows.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut params = parameters(&[]);
        // Two of one name would be taken for each other, until a signature does not fit.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = made(KeyPair::generate());
        let pem = made(params.self_signed(&key)).pem();
        Self { pem, issuer: Arc::new(Issuer::new(params, key)) }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names and addresses; it serves clients too.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.sign(parameters(names))
    }

    /// One that was valid in the year 2000.
    pub fn expired(&self, names: &[&str]) -> Certificate {
        let mut params = parameters(names);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.sign(params)
    }

    /// One that will be valid in the year 3000.
    pub fn premature(&self, names: &[&str]) -> Certificate {
        let mut params = parameters(names);
        params.not_before = date_time_ymd(3000, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certificate {
        let key = made(KeyPair::generate());
        let chain = made(params.signed_by(&key, &self.issuer)).pem();
        Certificate { chain, key: key.serialize_pem() }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = made(CertificateParams::new(names));
    params.distinguished_name.push(DnType::CommonName, "copal test");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn made<T>(result: Result<T, rcgen::Error>) -> T {
    match result {
        Ok(made) => made,
        Err(error) => panic!("a test certificate cannot be made: {error}"),
    }
}

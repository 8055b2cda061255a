//! What comes with the product: the policies with their cases, and the list of campaign parameters.

/// A shipped policy: its name, its text, and its cases.
struct Shipped {
    name: &'static str,
    text: &'static str,
    cases: &'static str,
}

/// `policies/NAME.yaml` and its cases.
macro_rules! policy {
    ($name:literal) => {
        Shipped {
            name: $name,
            text: include_str!(concat!("../../../policies/", $name, ".yaml")),
            cases: include_str!(concat!("../../../policies/", $name, ".cases.yaml")),
        }
    };
}

#[rustfmt::skip] // One a line: the order is that of the list that `copal policy` prints.
const POLICIES: &[Shipped] = &[
    policy!("default"),
    policy!("generic"),
    policy!("static"),
    policy!("drupal"),
    policy!("ibexa"),
    policy!("magento2"),
    policy!("mediawiki"),
    policy!("plone"),
    policy!("shopware"),
    policy!("symfony"),
    policy!("typo3"),
    policy!("wagtail"),
    policy!("wordpress"),
];

fn find(name: &str) -> Option<&'static Shipped> {
    POLICIES.iter().find(|policy| policy.name == name)
}

/// The text of a shipped policy.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    find(name).map(|policy| policy.text)
}

/// The names of all shipped policies. `default` is among them; it always applies, after all others.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|policy| policy.name)
}

/// The cases of a shipped policy.
#[must_use]
pub fn shipped_cases(name: &str) -> Option<&'static str> {
    find(name).map(|policy| policy.cases)
}

/// Query parameters that campaigns, newsletters and click counters add and that no page depends on; a denied
/// `marketing` stands for them. From the list that Adobe Commerce 2.4 ships for Varnish, as of 2026-11, without the
/// names that are short or common enough to be an application's own (`cx`, `ie`, `cof`, `campid`, `customid`,
/// `siteurl`, `pcrid`, `clickId`, `mk...`, `trk_...`).
pub(crate) const MARKETING: [&str; 36] = [
    "_branch_match_id",
    "_bta_*",
    "_ga",
    "_gl",
    "_ke",
    "_kx",
    "ceneo_cid",
    "dclid",
    "dm_i",
    "ef_id",
    "epik",
    "fbclid",
    "gad_*",
    "gbraid",
    "gclid",
    "gclsrc",
    "hsa_*",
    "igshid",
    "matomo_*",
    "mc_cid",
    "mc_eid",
    "msclkid",
    "mtm_*",
    "piwik_campaign",
    "piwik_keyword",
    "piwik_kwd",
    "pk_campaign",
    "pk_keyword",
    "pk_kwd",
    "s_kwcid",
    "ScCid",
    "srsltid",
    "tduid",
    "utm_*",
    "wbraid",
    "zanpid",
];

/// The shipped policy whose name `name` was probably meant to be.
#[must_use]
pub fn nearest_shipped(name: &str) -> Option<&'static str> {
    crate::keys::nearest(name, shipped_names())
}

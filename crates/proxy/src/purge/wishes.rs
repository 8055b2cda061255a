//! `Copal-Purge`: what any client may say besides its dialect, as a list of words.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::purge::order::WrongOrder;

static COPAL_PURGE: HeaderName = HeaderName::from_static("copal-purge");

/// How a purge is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) soft: bool,
    pub(crate) refresh: bool,
    pub(crate) dry_run: bool,
    pub(crate) all_queries: bool,
    pub(crate) any_host: bool,
    /// Count what goes, and say how much that was.
    pub(crate) count: bool,
    pub(crate) repurge_after: Option<Duration>,
}

const WORDS: &str = "soft, refresh, dry-run, all-queries, any-host, count, repurge=SECONDS";

impl Wishes {
    /// What the field says.
    ///
    /// # Errors
    /// A word that is not known.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, WrongOrder> {
        let mut wishes = Self::default();
        for line in headers.get_all(&COPAL_PURGE) {
            let line = line.to_str().map_err(|_| WrongOrder::new("Copal-Purge is not plain text"))?;
            for word in line.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                wishes.hear(word)?;
            }
        }
        Ok(wishes)
    }

    fn hear(&mut self, word: &str) -> Result<(), WrongOrder> {
        let wrong = || WrongOrder::new(format!("Copal-Purge has no word {word}; there are: {WORDS}"));
        match word.to_ascii_lowercase().as_str() {
            "soft" => self.soft = true,
            "refresh" => self.refresh = true,
            "dry-run" => self.dry_run = true,
            "all-queries" => self.all_queries = true,
            "any-host" => self.any_host = true,
            "count" => self.count = true,
            other => {
                let seconds =
                    other.strip_prefix("repurge=").and_then(|seconds| seconds.parse().ok()).ok_or_else(wrong)?;
                self.repurge_after = Some(Duration::from_secs(seconds));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Result<Wishes, WrongOrder> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("copal-purge", line.parse().unwrap());
        }
        Wishes::of(&headers)
    }

    #[test]
    fn words_add_up_and_unknown_ones_are_refused() {
        let all = of(&["soft, Refresh", "dry-run,all-queries , any-host, count, repurge=5"]).unwrap();
        let wanted = Wishes {
            soft: true,
            refresh: true,
            dry_run: true,
            all_queries: true,
            any_host: true,
            count: true,
            repurge_after: Some(Duration::from_secs(5)),
        };
        assert_eq!(all, wanted);
        assert_eq!(of(&[]), Ok(Wishes::default()));
        assert_eq!(of(&["", " , "]), Ok(Wishes::default()));
        for wrong in ["dryrun", "soft refresh", "repurge", "repurge=x", "repurge=-1"] {
            assert!(of(&[wrong]).unwrap_err().to_string().contains("there are: soft"), "{wrong}");
        }
    }
}

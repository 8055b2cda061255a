//! What a row of checks says of a server. Pure: a check's outcome in, whether the server is well out.

use crate::settings::Verdict;

/// The most checks that a window looks at.
const LONGEST: u32 = u64::BITS;

/// What is remembered of the checks of one server.
///
/// Until its first check a server counts as well, so that a start does not wait for checks. The first check is believed at once;
/// the ones after it change the state as the [`Verdict`] says.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    verdict: Verdict,
    well: bool,
    /// How many checks in a row ended like the last one.
    row: u32,
    last: bool,
    /// The last checks, the newest in the lowest bit, 1 = good.
    window: u64,
    seen_any: bool,
}

impl Judge {
    pub(crate) fn new(verdict: Verdict) -> Self {
        Self { verdict, well: true, row: 0, last: true, window: u64::MAX, seen_any: false }
    }

    /// Hears of a check and says whether the server is well.
    pub(crate) fn hear(&mut self, good: bool) -> bool {
        self.row = match good == self.last {
            true => self.row.saturating_add(1),
            false => 1,
        };
        self.last = good;
        self.window = self.window << 1 | u64::from(good);
        let first = !std::mem::replace(&mut self.seen_any, true);
        if first && !good {
            // As Varnish begins: one check short of being well, so that the next good one brings it back.
            self.window = match self.verdict {
                Verdict::Window { threshold, .. } => low_bits(threshold.clamp(1, LONGEST) - 1) << 1,
                Verdict::InARow { .. } => self.window,
            };
            self.well = false;
        } else {
            self.well = self.decided();
        }
        self.well
    }

    /// Goes on from the checks that another one has heard of, by its own verdict.
    pub(crate) fn adopt(&mut self, before: &Self) {
        *self = Self { verdict: self.verdict, ..before.clone() };
    }

    fn decided(&self) -> bool {
        match self.verdict {
            Verdict::InARow { rise, .. } if !self.well => self.last && self.row >= rise.max(1),
            Verdict::InARow { fall, .. } => self.last || self.row < fall.max(1),
            Verdict::Window { window, threshold } => {
                let window = window.clamp(1, LONGEST);
                let good = (self.window & low_bits(window)).count_ones();
                good >= threshold.clamp(1, window)
            }
        }
    }
}

fn low_bits(count: u32) -> u64 {
    match count {
        LONGEST.. => u64::MAX,
        count => (1 << count) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: Verdict = Verdict::InARow { rise: 2, fall: 3 };
    const WINDOW: Verdict = Verdict::Window { window: 5, threshold: 3 };

    /// The states after each check of `checks` (`+` good, `-` bad), as `U` and `D`.
    fn states(verdict: Verdict, checks: &str) -> String {
        let mut judge = Judge::new(verdict);
        let states = checks.chars().map(|check| judge.hear(check == '+'));
        states.map(|well| if well { 'U' } else { 'D' }).collect()
    }

    #[test]
    fn rows_and_windows() {
        let one = Verdict::InARow { rise: 1, fall: 1 };
        for (verdict, checks, wanted) in [
            // The first check is believed at once.
            (ROW, "-++", "DDU"),
            (ROW, "-+-++", "DDDDU"),
            (WINDOW, "-+", "DU"),
            (WINDOW, "---+++", "DDDDDU"),
            // A row that is interrupted starts again.
            (ROW, "+--+---++", "UUUUUUDDU"),
            (ROW, "+---+-++", "UUUDDDDU"),
            (one, "+-+-", "UDUD"),
            // A window forgives single ones, wherever they are.
            (WINDOW, "+-+-++-+", "UUUUUUUU"),
            (WINDOW, "+--+--+++", "UUUUDDDUU"),
        ] {
            assert_eq!(states(verdict, checks), wanted, "{verdict:?} {checks}");
        }
    }

    #[test]
    fn numbers_without_sense_do_no_harm() {
        for verdict in [
            Verdict::InARow { rise: 0, fall: 0 },
            Verdict::Window { window: 0, threshold: 0 },
            Verdict::Window { window: u32::MAX, threshold: u32::MAX },
        ] {
            let states = states(verdict, &format!("-{}-", "+".repeat(70)));
            assert!(states.starts_with('D') && states.ends_with("UD"), "{verdict:?} {states}");
        }
    }

    #[test]
    fn another_verdict_goes_on_from_the_same_checks() {
        let mut before = Judge::new(ROW);
        for (check, well) in [(false, false), (true, false)] {
            assert_eq!(before.hear(check), well);
        }
        for (verdict, checks, wanted) in
            [(ROW, [true, true], [true, true]), (Verdict::InARow { rise: 3, fall: 1 }, [true, true], [false, true])]
        {
            let mut after = Judge::new(verdict);
            after.adopt(&before);
            assert_eq!(checks.map(|check| after.hear(check)), wanted, "{verdict:?}");
        }
    }

    proptest! {
        /// The rows, told by looking at the whole history each time.
        #[test]
        fn rows_are_as_the_history_says(rise in 1_u32..5, fall in 1_u32..5, checks in proptest::collection::vec(any::<bool>(), 1..60)) {
            let mut judge = Judge::new(Verdict::InARow { rise, fall });
            let mut well = true;
            for at in 0..checks.len() {
                let ends_in = |good: bool, count: u32| {
                    let count = count as usize;
                    at + 1 >= count && checks[at + 1 - count..=at].iter().all(|&check| check == good)
                };
                well = if at == 0 { checks[0] } else if well { !ends_in(false, fall) } else { ends_in(true, rise) };
                prop_assert_eq!(judge.hear(checks[at]), well, "after {}", at);
            }
        }

        /// A full window is nothing but a count.
        #[test]
        fn windows_count(window in 1_u32..=64, share in 0.0_f64..=1.0, checks in proptest::collection::vec(any::<bool>(), 64..160)) {
            let threshold = ((f64::from(window) * share).ceil() as u32).max(1);
            let mut judge = Judge::new(Verdict::Window { window, threshold });
            for at in 0..checks.len() {
                let well = judge.hear(checks[at]);
                if let Some(begin) = (at + 1).checked_sub(window as usize) {
                    let good = checks[begin..=at].iter().filter(|&&good| good).count();
                    prop_assert_eq!(well, good >= threshold as usize, "after {}", at);
                }
            }
        }
    }
}

//! In which order servers take turns, by weight.

/// How long a schedule is at most: this for each server, and [`LEAST`] more. Weights whose ratios need more are rounded.
const EACH: u64 = 16;
const LEAST: u64 = 1_024;

/// One round of turns: each server as often as its weight says, spread evenly over the round. Nobody who weighs something is
/// left out.
pub(super) fn schedule(weights: &[(u32, u64)]) -> Vec<u32> {
    let weights: Vec<(u32, u64)> = weights.iter().copied().filter(|(_, weight)| *weight > 0).collect();
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    let total: u128 = weights.iter().map(|(_, weight)| u128::from(weight / divisor)).sum();
    let longest = u128::from(EACH * weights.len() as u64 + LEAST);
    let turns = |weight: u64| match total <= longest {
        true => weight / divisor,
        false => {
            let turns = (u128::from(weight / divisor) * longest + total / 2) / total;
            u64::try_from(turns).unwrap_or(u64::MAX).max(1)
        }
    };
    let mut counts: Vec<(u64, u32)> = weights.iter().map(|(server, weight)| (turns(*weight), *server)).collect();
    counts.sort_unstable();
    // Each server's turns are evenly spaced over a round from 0 to 1; those of servers that weigh the same interlock.
    let mut entries = Vec::new();
    for alike in counts.chunk_by(|a, b| a.0 == b.0) {
        for (rank, (turns, server)) in alike.iter().enumerate() {
            let phase = (rank as f64 + 0.5) / alike.len() as f64;
            entries.extend((0..*turns).map(|turn| ((turn as f64 + phase) / *turns as f64, *server)));
        }
    }
    entries.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    entries.into_iter().map(|(_, server)| server).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        _ => gcd(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(weights: &[u64]) -> Vec<u32> {
        let weights: Vec<_> = (0_u32..).zip(weights.iter().copied()).collect();
        schedule(&weights)
    }

    fn count(schedule: &[u32], server: usize) -> u64 {
        schedule.iter().filter(|it| **it as usize == server).count() as u64
    }

    #[test]
    fn turns_interleave() {
        assert_eq!(of(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(of(&[100, 100]), [0, 1]);
        assert_eq!(of(&[3, 2]), [0, 1, 0, 1, 0]);
        assert_eq!(of(&[4, 2, 1]), [0, 1, 0, 2, 0, 1, 0]);
        assert_eq!(of(&[5, 1, 1]), [0, 1, 0, 0, 0, 2, 0]);
        assert_eq!(of(&[0, 7]), [1]);
        assert_eq!(of(&[0, 0]), [0_u32; 0]);
        assert_eq!(of(&[]), [0_u32; 0]);
    }

    #[test]
    fn rounded_weights_stay_close_and_nobody_is_left_out() {
        let schedule = of(&[1_000_000, 999_999, 1]);
        assert!(schedule.len() < 1_100, "{}", schedule.len());
        assert_eq!(count(&schedule, 2), 1);
        assert!(count(&schedule, 0).abs_diff(count(&schedule, 1)) <= 1);
    }

    proptest! {
        #[test]
        fn every_part_of_a_round_has_everybodys_share(weights in proptest::collection::vec(1_u64..40, 1..20)) {
            let schedule = of(&weights);
            let total: u64 = weights.iter().sum();
            let mut kinds = weights.clone();
            kinds.sort_unstable();
            kinds.dedup();
            for (server, weight) in weights.iter().enumerate() {
                let share = *weight as f64 / total as f64;
                let mut taken = 0.0;
                for (turn, it) in schedule.iter().enumerate() {
                    taken += f64::from(u8::from(*it as usize == server));
                    let fair = (turn + 1) as f64 * share;
                    // Off by a turn, and by what the other kinds of weight are off by.
                    let off = 1.0 + kinds.len() as f64 * share;
                    prop_assert!((taken - fair).abs() <= off, "{server} at {turn}: {taken}, fair {fair} in {schedule:?}");
                }
                prop_assert_eq!(count(&schedule, server) * total, weight * schedule.len() as u64);
            }
        }

        #[test]
        fn no_weights_make_a_long_round(weights in proptest::collection::vec(1_u64..100_000_000, 1..50)) {
            let schedule = of(&weights);
            prop_assert!(schedule.len() as u64 <= 2 * (EACH * weights.len() as u64 + LEAST));
            prop_assert!((0..weights.len()).all(|server| count(&schedule, server) > 0));
        }
    }
}

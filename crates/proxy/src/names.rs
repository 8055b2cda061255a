//! Names of fields that few messages have, to be looked for in all of them.

/// What the names of a set look like: a bit for each mark that one of them has. Most fields are told by theirs to be none of them.
#[derive(Clone, Copy)]
pub(crate) struct Marks([u64; 4]);

impl Marks {
    /// Of these names.
    pub(crate) const fn of(names: &[&str]) -> Self {
        let (mut marks, mut index) = (Self([0; 4]), 0);
        while index < names.len() {
            marks.add(names[index]);
            index += 1;
        }
        marks
    }

    /// One more name.
    pub(crate) const fn add(&mut self, name: &str) {
        let mark = mark(name.as_bytes());
        self.0[mark / 64] |= 1 << (mark % 64);
    }

    /// Whether it may be one of them; false: it is none.
    pub(crate) const fn may_have(&self, name: &str) -> bool {
        let mark = mark(name.as_bytes());
        self.0[mark / 64] >> (mark % 64) & 1 == 1
    }
}

/// A number below 256 by which names mostly differ: of their length, their first and their last byte.
const fn mark(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() * 11 + *first as usize * 5 + *last as usize * 3) % 256,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_set_may_be_in_it() {
        let names = ["a", "te", "via", "xkey", "surrogate-control", "x-forwarded-host"];
        for (index, name) in names.iter().enumerate() {
            assert!(Marks::of(&names).may_have(name), "{name}");
            assert!(Marks::of(&names[index..=index]).may_have(name), "{name}");
        }
        assert!(!Marks::of(&[]).may_have("host") && !Marks::of(&["xkey"]).may_have("date"));
    }
}

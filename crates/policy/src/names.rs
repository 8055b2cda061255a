//! Many name globs at once: the session and ignore lists, the keyed cookies, the denied parameters. Every cookie of
//! every request is looked up, so names and prefixes (`SESS*`), which is nearly all that lists have, are read off a trie
//! in one walk over the name, however long the list is.

use crate::glob::NameGlob;

/// A set of name globs.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameSet {
    /// The first is the root, if there is any.
    nodes: Vec<TrieNode>,
    /// Those with a star in another place than their end.
    others: Vec<NameGlob>,
}

#[derive(Clone, Debug, Default)]
struct TrieNode {
    /// Few, mostly one, in the order added.
    edges: Vec<(u8, u32)>,
    /// A name of the set ends here.
    name: bool,
    /// Every name that comes by here is in the set.
    prefix: bool,
}

impl NameSet {
    pub(crate) fn new(globs: impl IntoIterator<Item = NameGlob>) -> Self {
        let mut set = Self::default();
        for glob in globs {
            match (glob.exact(), glob.prefix()) {
                (Some(name), _) => set.node(name).name = true,
                (None, Some(prefix)) => set.node(prefix).prefix = true,
                (None, None) => set.others.push(glob),
            }
        }
        set
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.others.is_empty()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.in_trie(name.as_bytes()) || self.others.iter().any(|glob| glob.matches(name))
    }

    fn in_trie(&self, name: &[u8]) -> bool {
        let Some(mut node) = self.nodes.first() else { return false };
        for byte in name {
            if node.prefix {
                return true;
            }
            match node.edges.iter().find(|(edge, _)| edge == byte).and_then(|(_, next)| self.nodes.get(*next as usize))
            {
                Some(next) => node = next,
                None => return false,
            }
        }
        node.name || node.prefix
    }

    /// The node of a text, made if it is not there.
    fn node(&mut self, text: &str) -> &mut TrieNode {
        if self.nodes.is_empty() {
            self.nodes.push(TrieNode::default());
        }
        let mut place = 0;
        for byte in text.bytes() {
            let known = self.nodes[place].edges.iter().find(|(edge, _)| *edge == byte).map(|(_, next)| *next as usize);
            place = known.unwrap_or_else(|| self.add(place, byte));
        }
        &mut self.nodes[place]
    }

    fn add(&mut self, parent: usize, byte: u8) -> usize {
        let next = self.nodes.len();
        // A list is read from a file of at most 100,000 values; beyond 4 GiB of names the edge would lead nowhere.
        self.nodes[parent].edges.push((byte, u32::try_from(next).unwrap_or(u32::MAX)));
        self.nodes.push(TrieNode::default());
        next
    }
}

//! What the sample site has to say.

/// One article.
#[derive(Debug)]
pub(super) struct Article {
    /// Its address: `/articles/SLUG`.
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    pub(super) lead: &'static str,
    pub(super) paragraphs: &'static [&'static str],
}

/// All of them, the newest first.
pub(super) const ARTICLES: [Article; 4] = [
    Article {
        slug: "resin",
        title: "Resin remembers for forty million years",
        lead: "A drop that falls on the right ant keeps it longer than any archive has kept a page.",
        paragraphs: &[
            "Copal is resin on its way to becoming amber: young, pale, still a little soft. What falls into it stays as \
             it was, and whoever looks at it a thousand years later sees the same leaf at the same angle.",
            "Keepers of archives envy it. Their own copies fade, are lent out, come back with coffee on them. The resin \
             has one rule only, and it is a good one: what is in it is not touched again until somebody breaks it open \
             on purpose.",
        ],
    },
    Article {
        slug: "queue",
        title: "Town hall ends the queue by answering once",
        lead: "Forty people, one question: now the clerk calls the answer out instead of giving it forty times.",
        paragraphs: &[
            "On Monday mornings the whole town wants to know when the ferry leaves. Until last week each of them waited \
             for the clerk, who rang the harbour, who looked at the board.",
            "Now the first in the queue asks, and everybody behind hears the answer as it comes. The harbour's telephone \
             rings once. \"I have started to drink my coffee while it is warm\", says the harbour master.",
        ],
    },
    Article {
        slug: "bakery",
        title: "The bakery that sells yesterday's bread, and says so",
        lead: "When the oven broke, nobody went hungry. The sign at the door made all the difference.",
        paragraphs: &[
            "On the day the oven broke, the baker on the market square put out what was left from the day before, wrote \
             \"from yesterday\" on a card, and went to mend the oven. Most customers bought it. Some came back later.",
            "The other bakery in town, whose oven broke as well, shut its door and turned everybody away with the number \
             502, which nobody could explain.",
        ],
    },
    Article {
        slug: "greeting",
        title: "A newspaper that greets each reader by name",
        lead: "All copies are the same but for one line. The printers found a way to leave that line open.",
        paragraphs: &[
            "Printing a paper for each reader would cost a fortune, so the printers print one, with a small hole at the \
             top right. At the door the boy who brings it writes the name into the hole.",
            "Nobody has ever found a neighbour's name on their paper. The boy is careful: he carries no list, he asks at \
             each door.",
        ],
    },
];

/// The article with this slug, and its place in [`ARTICLES`].
pub(super) fn find(slug: &str) -> Option<(usize, &'static Article)> {
    ARTICLES.iter().enumerate().find(|(_, article)| article.slug == slug)
}

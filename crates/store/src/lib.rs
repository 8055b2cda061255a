//! Stored responses in memory, collapsing, invalidation.

//! Scripted origin, raw client, manual clock, scenario runner: for tests only.

//! Tests of the whole: files in, answers and diagnostics out. `glob` and `yaml` belong to the modules of that name.

mod answers;
mod documents;
mod language;
mod load;
mod origins;
mod shipped;
mod tls;
mod wrong;

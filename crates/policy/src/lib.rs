//! YAML to compiled rules to answers.

//! ESI 1.0: scanner, parser, template and assembly plan; sans-io.

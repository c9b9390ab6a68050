//! What the product promises, proven on real components: one behaviour per file.

mod lab;

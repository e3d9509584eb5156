//! Custom kinds as rows: what a definition says, in the form that every kind has.

mod columns;
mod row;
mod scale;
mod strategy;

pub use row::rows;

//! Random programs of calls, against models and against faults. They take the longest, and are told how many to
//! run; so they are a program of their own, which the deep checks build optimised.

#[path = "../common/mod.rs"]
mod common;
mod conservation;
mod fault_plan;
mod weighted_conservation;

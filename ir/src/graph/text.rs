//! The textual form of a graph.

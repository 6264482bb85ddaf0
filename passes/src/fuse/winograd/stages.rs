//! A kernel's stages while they are written.

use mlc_ir::Name;
use mlc_ir::program::{Expr, ExprKind, Stage, Store};

/// Maps over the same axes.
pub struct Stages {
    axes: Vec<Name>,
    /// In order.
    pub all: Vec<Stage>,
}

impl Stages {
    pub fn new(axes: Vec<Name>) -> Stages {
        Stages { axes, all: vec![] }
    }

    /// A value that later stages read, computed once.
    pub fn keep(&mut self, value: Expr) -> Expr {
        let dtype = value.dtype();
        self.push(value, None);
        Expr::new(dtype, ExprKind::Stage(self.all.len() - 1))
    }

    /// A stage that may store.
    pub fn push(&mut self, value: Expr, store: Option<Store>) {
        self.all.push(Stage { axes: self.axes.clone(), reduce: None, value, store });
    }
}

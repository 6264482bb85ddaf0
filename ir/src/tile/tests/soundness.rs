//! What the verifier accepts does not trap: random tiles, run at many sizes.

use super::tile;
use crate::Facts;
use crate::tile::interp::{Buffer, Cause, run};
use crate::tile::verify;

/// Numbers that only depend on where the sequence begins.
struct Choice(u64);

impl Choice {
    fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        items[(self.0 >> 33) as usize % items.len()]
    }

    /// A tile that stores once, in two loops.
    fn tile(&mut self) -> String {
        let (rows, columns) = (self.of(&["n", "n", "2*n", "n + 3", "4*cdiv(n, 4)"]), self.of(&["8", "m", "2*m"]));
        let tasks = self.of(&["n", "n", "2*n", "cdiv(n, 4)", "floordiv(n, 4)", "1", "n*m"]);
        let low = self.of(&["0", "0", "4*%t", "mod(%t, 2)", "floordiv(%t, m)", "%t"]);
        let high = self.of(&["4", "n", "4*%t + 4", "min(n, 4*%t + 4)", "min(4, n - 4*%t)", "floordiv(n, 4)", "%t + 1"]);
        let (step, inner) = (self.of(&["1", "1", "2", "4"]), self.of(&["m", "8", "2", "floordiv(m, 4)", "%i + 1"]));
        let row =
            self.of(&["%i", "%t", "%t", "4*%t + %i", "floordiv(%t, m)", "n - 1 - %i", "4*%i", "%i - 1", "%t - %j"]);
        let column = self.of(&["%j", "4*%j", "mod(%t, m)", "%j + 4*mod(%t, 2)", "%i", "0", "2*%j + 1", "m - %j"]);
        let (lanes, first) =
            (self.of(&["", "x2", "x4"]), self.of(&["", "", ", first m - %j", ", first 3", ", first %t"]));
        let test = self.of(&["0 <= 0 < 1", "1 <= %i < n", "0 <= %j < m", "0 <= %t - %i < n", "0 <= 4*%i < n"]);
        format!(
            "tile k indexed (@0 y: f32[{rows}, {columns}] output) symbols n, m tasks %t: {tasks} {{
               loop serial %i in {low} .. {high} step {step} {{ loop serial %j in 0 .. {inner} {{
                 if {test} {{ store f32{lanes} @0[{row}, {column}], 0.0{first} }} }} }} }}"
        )
    }
}

#[test]
fn accepted_tiles_do_not_trap() {
    let mut choice = Choice(1);
    let mut facts = Facts::default();
    facts.symbol("m", 1, None);
    let (mut accepted, mut disjoint) = (0, 0);
    for _ in 0..800 {
        let text = choice.tile();
        let tile = tile(&text);
        let Ok(warnings) = verify(&tile, &facts) else { continue };
        accepted += 1;
        disjoint += usize::from(warnings.is_empty() && !tile.tasks.1.is(1));
        for (n, m) in (0..10).flat_map(|n| (1..6).map(move |m| (n, m))) {
            let number = |e: &crate::Index| {
                let value = e.eval(&mut |leaf| match leaf {
                    crate::index::Leaf::Sym(name) => Some(if &***name == "n" { n } else { m }),
                    _ => None,
                });
                value.expect("a number")
            };
            let size: i64 = tile.params[0].dims.iter().map(number).product();
            let mut buffers = [Buffer::empty(4 * size as usize)];
            if warnings.is_empty() {
                buffers[0] = buffers[0].clone().watched();
            }
            let trap = run(&tile, &mut buffers, &[n, m], 0..number(&tile.tasks.1)).err();
            assert!(trap.is_none(), "n {n}, m {m}: {}\n{text}", trap.unwrap());
        }
    }
    assert!(accepted > 25 && disjoint > 8, "{accepted} accepted, {disjoint} disjoint");
}

#[test]
fn some_rejected_tiles_do_trap() {
    let text = "tile k indexed (@0 y: f32[n] output) symbols n tasks %t: n { store f32 @0[%t + 1], 0.0 }";
    assert!(verify(&tile(text), &Facts::default()).is_err());
    let trap = run(&tile(text), &mut [Buffer::empty(8)], &[2], 0..2).unwrap_err();
    assert!(matches!(trap.cause, Cause::OutOfBounds(_)));
}

//! The memory plan over time.
//!
//! In: the arena as it was planned.  Out: a chart for people, everything for programs.
//!
//! Where the dims are numbers, the chart has a row for each of the largest buffers, and says what is alive at the peak. Where
//! they are not, it has a row for each place, with its formula.

use crate::explain::end_of;
use crate::text::{bytes, count};
use mlc_codegen::driver::memory::{Arena, Place};
use mlc_ir::Index;
use serde_json::{Value, json};

/// Columns of a chart, letters of a name, rows, and what is listed of a peak.
const COLUMNS: usize = 36;
const WIDTH: usize = 20;
const ROWS: usize = 24;
const PEAK: usize = 6;

/// When each buffer is alive, and where.
pub struct Timeline<'a> {
    arena: &'a Arena,
    /// In the order in which they come alive.
    places: Vec<&'a Place>,
}

/// Bytes of a place: from, to.
fn range(place: &Place) -> Option<(i64, i64)> {
    let offset = place.offset.as_const()?;
    Some((offset, offset + place.size.as_const()?))
}

fn alive(place: &Place, moment: usize) -> bool {
    (place.life.0..=place.life.1).contains(&moment)
}

impl<'a> Timeline<'a> {
    /// Of an arena.
    pub fn new(arena: &'a Arena) -> Timeline<'a> {
        let mut places: Vec<&Place> = arena.places.values().collect();
        places.sort_by_key(|place| place.life);
        Timeline { arena, places }
    }

    fn moments(&self) -> usize {
        self.arena.moments.len()
    }

    fn alive_at(&self, moment: usize) -> impl Iterator<Item = &&'a Place> {
        self.places.iter().filter(move |place| alive(place, moment))
    }

    /// Bytes alive at a moment, if they are known.
    fn bytes_at(&self, moment: usize) -> Option<i64> {
        self.alive_at(moment).map(|place| place.size.as_const()).sum()
    }

    /// The moment at which most is alive, and how many bytes that is.
    fn peak(&self) -> Option<(usize, i64)> {
        let all: Option<Vec<i64>> = (0..self.moments()).map(|moment| self.bytes_at(moment)).collect();
        let all = all?;
        let most = *all.iter().max()?;
        Some((all.iter().position(|&bytes| bytes == most)?, most))
    }

    /// Whose bytes a buffer takes over: the last one that was there.
    fn before(&self, place: &Place) -> Option<&'a Place> {
        let shares = |other: &Place| match (range(place), range(other)) {
            (Some(a), Some(b)) => a.0 < b.1 && b.0 < a.1,
            _ => place.offset == other.offset,
        };
        let earlier = self.places.iter().filter(|other| other.life.1 < place.life.0 && shares(other));
        earlier.max_by_key(|other| other.life.1).copied()
    }

    /// The column of a moment.
    fn column(&self, moment: usize) -> usize {
        moment * COLUMNS.min(self.moments()) / self.moments().max(1)
    }

    /// A row in which every life is drawn, neighbours apart.
    fn bar(&self, lives: &[(usize, usize)]) -> String {
        let mut row = vec![' '; COLUMNS.min(self.moments())];
        for (place, life) in lives.iter().enumerate() {
            let mark = if place % 2 == 0 { '█' } else { '▒' };
            row[self.column(life.0)..=self.column(life.1)].fill(mark);
        }
        row.into_iter().collect()
    }

    /// For people; `weights` are what else a run needs.
    pub fn text(&self, weights: &str) -> String {
        let said = |size: &Index| size.as_const().map_or_else(|| format!("{size} bytes"), |n| bytes(n as u64));
        let Arena { size, scratch, .. } = self.arena;
        let arena = said(size);
        let scratch = if scratch.is(0) { "none".into() } else { format!("{} a thread", said(scratch)) };
        let mut text = format!("memory: arena {arena}; weights {weights}; scratch {scratch}\n");
        if self.places.is_empty() {
            return text + "  no buffers between kernels\n";
        }
        let (buffers, moments) = (count(self.places.len(), "buffer"), count(self.moments(), "step"));
        text += &format!("  {buffers} over {moments}; time runs to the right\n");
        match self.peak() {
            Some(peak) => text += &self.numbers(peak),
            None => text += &self.formulas(),
        }
        text
    }

    fn numbers(&self, (moment, most): (usize, i64)) -> String {
        let mut text = format!("  {:>10}  {:>10}  {}\n", "alive", bytes(most as u64), self.curve(most));
        text += &format!("  {:>10}  {:>10}\n", "offset", "size");
        let mut largest = self.places.clone();
        largest.sort_by_key(|place| std::cmp::Reverse(place.size.as_const()));
        largest.truncate(ROWS);
        largest.sort_by_key(|place| place.life);
        for place in &largest {
            let (bar, name) = (self.bar(&[place.life]), end_of(&place.name, WIDTH));
            let before = self.before(place);
            let before = before.map_or(String::new(), |it| format!(", where {} was", end_of(&it.name, WIDTH)));
            let size = bytes(place.size.as_const().unwrap_or(0) as u64);
            text += &format!("  {:>10}  {size:>10}  {bar}  {name}{before}\n", place.offset.to_string());
        }
        if self.places.len() > ROWS {
            text += &format!("  {}; --json lists all\n", count(self.places.len() - ROWS, "smaller buffer"));
        }
        let what = &self.arena.moments[moment];
        let arena = bytes(self.arena.size.as_const().unwrap_or(0) as u64);
        let (step, steps) = (moment + 1, self.moments());
        text += &format!("peak: {} of the arena's {arena} at step {step} of {steps}, {what}\n", bytes(most as u64));
        let mut alive: Vec<&&Place> = self.alive_at(moment).collect();
        alive.sort_by_key(|place| std::cmp::Reverse(place.size.as_const()));
        for place in alive.iter().take(PEAK) {
            let size = place.size.as_const().unwrap_or(0);
            let share = format!("{:.0}%", size as f64 / most.max(1) as f64 * 100.0);
            text += &format!(
                "  {:>10}  {:>10}  {share:>4}  {}\n",
                place.offset.to_string(),
                bytes(size as u64),
                place.name
            );
        }
        if alive.len() > PEAK {
            text += &format!("  and {}\n", count(alive.len() - PEAK, "smaller buffer"));
        }
        text
    }

    /// What is alive over time, as heights.
    fn curve(&self, most: i64) -> String {
        let mut heights = vec![0; COLUMNS.min(self.moments())];
        for moment in 0..self.moments() {
            let height = &mut heights[self.column(moment)];
            *height = (*height).max(self.bytes_at(moment).unwrap_or(0));
        }
        let level =
            |bytes: i64| [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(bytes * 8 / most.max(1)).clamp(0, 8) as usize];
        heights.into_iter().map(level).collect()
    }

    fn formulas(&self) -> String {
        let mut rows: Vec<(&Index, Vec<&Place>)> = Vec::new();
        for place in &self.places {
            match rows.iter_mut().find(|row| row.0 == &place.offset) {
                Some(row) => row.1.push(place),
                None => rows.push((&place.offset, vec![place])),
            }
        }
        let mut text = String::from("  sizes depend on dims: the peak is known with a --dim for each\n");
        for (offset, users) in rows.iter().take(ROWS) {
            let lives: Vec<(usize, usize)> = users.iter().map(|place| place.life).collect();
            let mut sizes: Vec<String> = users.iter().map(|place| place.size.to_string()).collect();
            sizes.sort_by_key(|size| std::cmp::Reverse(size.len()));
            sizes.dedup();
            let more = if sizes.len() > 1 { " and less" } else { "" };
            let (bar, buffers) = (self.bar(&lives), count(users.len(), "buffer"));
            text += &format!("  {bar}  {buffers:>11}  {}{more}, at {offset}\n", sizes[0]);
        }
        if rows.len() > ROWS {
            text += &format!("  {}; --json lists all\n", count(rows.len() - ROWS, "more place"));
        }
        text
    }

    /// For programs: every buffer, and what is alive at every step.
    pub fn json(&self, weights: u64) -> Value {
        let number = |index: &Index| index.as_const().map_or_else(|| json!(index.to_string()), |n| json!(n));
        let place = |place: &&Place| {
            json!({
                "buffer": &*place.name, "bytes": number(&place.size), "offset": number(&place.offset),
                "first": place.life.0 + 1, "last": place.life.1 + 1,
                "reuses": self.before(place).map(|it| it.name.to_string()),
            })
        };
        let step = |(moment, what): (usize, &String)| {
            let alive = self
                .alive_at(moment)
                .map(|it| json!({ "buffer": &*it.name, "bytes": number(&it.size), "offset": number(&it.offset) }));
            json!({
                "step": moment + 1, "what": what, "bytes": self.bytes_at(moment), "alive": alive.collect::<Vec<_>>(),
            })
        };
        json!({
            "arena": number(&self.arena.size), "weights_bytes": weights, "scratch_bytes": number(&self.arena.scratch),
            "peak": self.peak().map(|(moment, bytes)| json!({ "step": moment + 1, "bytes": bytes })),
            "buffers": self.places.iter().map(place).collect::<Vec<_>>(),
            "steps": self.arena.moments.iter().enumerate().map(step).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(sizes: [Index; 3]) -> Arena {
        let [a, b, c] = sizes;
        let place = |name: &str, offset: Index, size: Index, life| Place { name: name.into(), offset, size, life };
        let places = [
            (0, place("a", Index::zero(), a.clone(), (0, 1))),
            (1, place("b", a.clone(), b.clone(), (1, 2))),
            (2, place("c", Index::zero(), c, (2, 3))),
        ];
        let moments = ["k0", "k1", "k2", "k3"].map(String::from).into();
        Arena { places: places.into(), size: a + b, scratch: Index::from(64), moments }
    }

    #[test]
    fn a_chart_shows_who_follows_whom() {
        let arena = arena([Index::from(1000), Index::from(2000), Index::from(500)]);
        let timeline = Timeline::new(&arena);
        let text = timeline.text("none");
        assert!(text.contains("peak: 3000 bytes of the arena's 3000 bytes at step 2 of 4, k1"), "{text}");
        assert!(text.contains("scratch 64 bytes a thread"), "{text}");
        assert!(text.contains("██    a\n") && text.contains(" ██   b\n"), "{text}");
        assert!(text.contains("  ██  c, where a was"), "{text}");
        assert!(text.contains("▂█▆▁"), "{text}");
        let json = timeline.json(7);
        assert_eq!(json["steps"][1]["alive"].as_array().map(Vec::len), Some(2));
        assert_eq!((&json["buffers"][2]["reuses"], &json["steps"][2]["bytes"]), (&json!("a"), &json!(2500)));
        assert_eq!(json["peak"], json!({ "step": 2, "bytes": 3000 }));
    }

    #[test]
    fn formulas_stand_where_dims_are_symbols() {
        let n = Index::sym("n");
        let arena = arena([n.clone() * 64, n.clone() * 128, n * 64]);
        let timeline = Timeline::new(&arena);
        let text = timeline.text("none");
        assert!(text.contains("██▒▒    2 buffers  64*n, at 0"), "{text}");
        let json = timeline.json(0);
        assert_eq!((&json["buffers"][1]["bytes"], &json["peak"]), (&json!("128*n"), &json!(null)));
    }
}

//! Tables, sizes and times for people.

/// On which side a column's texts are filled up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The texts begin in one column.
    Left,
    /// The texts end in one column: for numbers.
    Right,
}

/// A table with a head, its columns two spaces apart. Without rows it is empty.
pub fn table(head: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let first: Vec<String> = head.iter().map(|column| column.0.to_string()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&first).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in all {
        let mut line = String::new();
        for ((cell, width), (_, side)) in row.iter().zip(&widths).zip(head) {
            let fill = " ".repeat(width - cell.chars().count());
            line += &if *side == Side::Left { format!("{cell}{fill}  ") } else { format!("{fill}{cell}  ") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A number of bytes: `812 bytes`, `61.4 KB`, `2.3 MB`.
pub fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..1_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// A time in seconds: `12.3 us`, `4.56 ms`, `7.89 s`.
pub fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// `1 kernel`, `2 kernels`
pub fn count(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// A value to about six digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value == value.trunc() && value.abs() < 1e9 => format!("{value}"),
        1e-4..1e6 => {
            let text = format!("{value:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
        _ => format!("{value:.4e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_string(), "1".to_string()], vec!["long name".into(), "234".into()]];
        let text = table(&[("name", Side::Left), ("n", Side::Right)], &rows);
        assert_eq!(text, "name         n\na            1\nlong name  234\n");
        assert_eq!(table(&[("name", Side::Left)], &[]), "");
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!([bytes(812), bytes(61_432), bytes(2_340_000)], ["812 bytes", "61.4 KB", "2.3 MB"]);
        assert_eq!([time(0.0000123), time(0.00456), time(7.89)], ["12.3 us", "4.56 ms", "7.89 s"]);
        assert_eq!([number(0.25), number(3.0), number(1e-7), number(f64::NAN)], ["0.25", "3", "1.0000e-7", "NaN"]);
    }
}

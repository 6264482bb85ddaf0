//! Prints the gaps of models.
fn main() {
    for path in std::env::args().skip(1) {
        let start = std::time::Instant::now();
        let gaps = mlc_frontend::check(path.as_ref(), &Default::default());
        println!("== {path}: {:?}", start.elapsed());
        match gaps {
            Ok(gaps) => gaps.iter().for_each(|g| println!("  {g}")),
            Err(e) => println!("  ERROR {e}"),
        }
        let start = std::time::Instant::now();
        match mlc_frontend::import(path.as_ref(), &Default::default()) {
            Ok(g) => {
                println!("  {} nodes {:?}", g.nodes().count(), start.elapsed());
                let text = g.to_string();
                if std::env::var("TEXT").is_ok() {
                    println!("{text}");
                }
                match mlc_ir::Graph::parse(&text) {
                    Ok(again) => println!("  round trip {}", again.to_string() == text),
                    Err(e) => println!("  parse: {e}"),
                }
            }
            Err(e) => println!("  import: {e}"),
        }
    }
}

fn main() {
    for path in std::env::args().skip(1) {
        let start = std::time::Instant::now();
        match mlc_frontend::check(path.as_ref(), &Default::default()) {
            Ok(gaps) => {
                println!("== {path}: {} gaps {:?}", gaps.len(), start.elapsed());
                gaps.iter().for_each(|g| println!("  {g}"))
            }
            Err(e) => println!("  ERROR {e}"),
        }
    }
}

//! Names the library as the real one, so that whoever asks for that gets this, once it is loaded.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
}

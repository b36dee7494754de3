//! Small libraries of C that a program is started with, so that functions of the system answer as a test wants.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles a library into the directory. Its name is without an ending.
pub(crate) fn library(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (library, file) = (folder.join(format!("{name}.so")), folder.join(format!("{name}.c")));
    fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(&file).arg("-ldl");
    let compiled = compiler.status().expect("there is no C compiler `cc`: install it with `apt-get install gcc`");
    assert!(compiled.success());
    library
}

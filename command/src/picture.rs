//! Pictures as inputs: `.png` files as numbers from 0 to 1 (floats) or 0 to 255 (integers).
//!
//! In: an input of rank 2 to 4 and files.  Out: its tensor; each picture is scaled to the size the model fixes, if it
//! fixes one, and made grey or coloured as the model wants.

use crate::failure::{Failure, Result};
use crate::interface::Port;
use crate::progress::Ui;
use mlc_ir::{Index, Scalar, Tensor};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Pictures with more pixels than this are refused.
const MOST_PIXELS: usize = 1 << 28;

/// Values from 0 to 1, rows of pixels of `channels` values.
struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    values: Vec<f32>,
}

/// Where an input has which dimension, counted without that of the batch.
struct Form {
    batch: bool,
    channels: usize,
    /// Channels come before height and width.
    first: bool,
    /// They have a dimension of their own.
    named: bool,
    height: Option<usize>,
    width: Option<usize>,
}

/// Reads pictures for an input.
///
/// # Errors
/// If a file is no picture, or the input cannot be one.
pub fn read(port: &Port, paths: &[PathBuf], ui: Ui) -> Result<Tensor> {
    let form = Form::of(port)?;
    if paths.len() > 1 && !form.batch {
        return Err(Failure::usage(format!("input {port} takes one picture, {} are given", paths.len())));
    }
    let mut scalars: Vec<Scalar> = Vec::new();
    let mut size = None;
    for path in paths {
        let picture = load(path)?.with_channels(form.channels);
        let (height, width) = (form.height.unwrap_or(picture.height), form.width.unwrap_or(picture.width));
        if (height, width) != (picture.height, picture.width) {
            let (w, h) = (picture.width, picture.height);
            ui.note(&format!("{} is scaled from {w}x{h} to {width}x{height}", path.display()));
        }
        let picture = picture.scaled(height, width);
        if *size.get_or_insert((height, width)) != (height, width) {
            let message =
                format!("{}: {width}x{height} is another size than that of the pictures before", path.display());
            return Err(Failure::invalid(message));
        }
        picture.write(form.first, port.dtype.is_float(), &mut scalars);
    }
    let (height, width) = size.unwrap_or((0, 0));
    let mut shape = if form.batch { vec![paths.len()] } else { vec![] };
    match (form.named, form.first) {
        (false, _) => shape.extend([height, width]),
        (true, true) => shape.extend([form.channels, height, width]),
        (true, false) => shape.extend([height, width, form.channels]),
    }
    Ok(Tensor::from_scalars(port.dtype, shape, &scalars)?)
}

impl Form {
    fn of(port: &Port) -> Result<Form> {
        let number = |dim: &Index| dim.as_const().and_then(|n| usize::try_from(n).ok());
        let dims: Vec<Option<usize>> = port.shape.iter().map(number).collect();
        let colours = |dim: Option<usize>| dim.is_some_and(|n| n == 1 || n == 3);
        let (batch, rest) = if dims.len() == 4 { (true, &dims[1..]) } else { (false, &dims[..]) };
        match rest {
            [height, width] => {
                Ok(Form { batch, channels: 1, first: true, named: false, height: *height, width: *width })
            }
            [c, height, width] if colours(*c) => {
                Ok(Form { batch, channels: c.unwrap_or(1), first: true, named: true, height: *height, width: *width })
            }
            [height, width, c] if colours(*c) => {
                Ok(Form { batch, channels: c.unwrap_or(1), first: false, named: true, height: *height, width: *width })
            }
            _ => Err(Failure::usage(format!(
                "input {port} is no picture: it would be [N, C, H, W] or [N, H, W, C] with 1 or 3 channels; give a .npy file"
            ))),
        }
    }
}

impl Picture {
    fn with_channels(self, channels: usize) -> Picture {
        if self.channels == channels {
            return self;
        }
        let values = match channels {
            // As ITU-R BT.601 weighs colours.
            1 => self.values.chunks_exact(3).map(|p| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]).collect(),
            _ => self.values.iter().flat_map(|&value| [value; 3]).collect(),
        };
        Picture { channels, values, ..self }
    }

    /// With another size: each new pixel is the mean of those it covers, or lies between its neighbours.
    fn scaled(self, height: usize, width: usize) -> Picture {
        if (height, width) == (self.height, self.width) {
            return self;
        }
        let (rows, columns) = (weights(self.height, height), weights(self.width, width));
        let mut values = Vec::with_capacity(height * width * self.channels);
        for row in &rows {
            for column in &columns {
                for channel in 0..self.channels {
                    let at = |y: usize, x: usize| self.values[(y * self.width + x) * self.channels + channel];
                    let line = |y: usize| column.iter().map(|(x, part)| at(y, *x) * part).sum::<f32>();
                    values.push(row.iter().map(|(y, part)| line(*y) * part).sum());
                }
            }
        }
        Picture { width, height, values, ..self }
    }

    fn write(&self, first: bool, float: bool, scalars: &mut Vec<Scalar>) {
        let scalar = |value: f32| match float {
            true => Scalar::Float(value.into()),
            false => Scalar::Int((value * 255.0).round() as i64),
        };
        if !first {
            scalars.extend(self.values.iter().map(|&value| scalar(value)));
            return;
        }
        for channel in 0..self.channels {
            scalars.extend(self.values.iter().skip(channel).step_by(self.channels).map(|&value| scalar(value)));
        }
    }
}

/// For each of `to` places, the places among `from` it is made of, with weights whose sum is 1.
fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let step = from as f32 / to as f32;
    let reach = step.max(1.0);
    let place = |i: usize| {
        let centre = (i as f32 + 0.5) * step - 0.5;
        let low = (centre - reach).ceil().max(0.0) as usize;
        let high = ((centre + reach).floor().max(0.0) as usize).min(from - 1);
        let raw = (low..=high).map(|j| (j, (1.0 - (j as f32 - centre).abs() / reach).max(0.0)));
        let parts: Vec<(usize, f32)> = raw.filter(|(_, part)| *part > 0.0).collect();
        let sum: f32 = parts.iter().map(|part| part.1).sum();
        match parts.is_empty() {
            true => vec![(low.min(from - 1), 1.0)],
            false => parts.into_iter().map(|(j, part)| (j, part / sum)).collect(),
        }
    };
    (0..to).map(place).collect()
}

fn load(path: &Path) -> Result<Picture> {
    let invalid = |what: &str| Failure::invalid(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| invalid(&format!("cannot be read: {error}")))?;
    let wrong = |error: png::DecodingError| invalid(&format!("is no usable PNG picture: {error}"));
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    if width == 0 || height == 0 || width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(invalid(&format!("{width}x{height} pixels are too many or none")));
    }
    let size = reader.output_buffer_size().ok_or_else(|| invalid("is too large"))?;
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(wrong)?;
    let samples = frame.color_type.samples();
    // An alpha channel is left out: what is transparent shows its colour.
    let channels = if samples < 3 { 1 } else { 3 };
    let pixels = bytes[..frame.buffer_size()].chunks_exact(samples);
    let values = pixels.flat_map(|pixel| &pixel[..channels]).map(|&byte| f32::from(byte) / 255.0).collect();
    Ok(Picture { width, height, channels, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_parts_of_one() {
        for (from, to) in [(28, 7), (7, 28), (5, 3), (1, 4), (4, 1)] {
            let all = weights(from, to);
            assert_eq!(all.len(), to);
            for parts in all {
                assert!((parts.iter().map(|part| part.1).sum::<f32>() - 1.0).abs() < 1e-5, "{from} {to}");
                assert!(parts.iter().all(|part| part.0 < from));
            }
        }
    }

    #[test]
    fn scaling_keeps_an_even_picture() {
        let even = Picture { width: 6, height: 4, channels: 3, values: vec![0.5; 72] };
        let scaled = even.scaled(3, 9);
        assert_eq!(scaled.values.len(), 81);
        assert!(scaled.values.iter().all(|value| (value - 0.5).abs() < 1e-6));
    }
}

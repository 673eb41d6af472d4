"""The build context of two images: one that serves a bundle, one that trains a spec."""

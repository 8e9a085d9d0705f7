package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// makeFolders makes a folder and those above it that are missing, durably, and
// notes them for undo. A folder that is there stays as it is.
func (in *installation) makeFolders(dir string, mode fs.FileMode) error {
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		_, err := os.Stat(d)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return folderFault(d, err)
		}
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		err := os.Mkdir(d, mode)
		if errors.Is(err, fs.ErrExist) {
			continue // somebody else was faster
		}
		if err != nil {
			return folderFault(d, err)
		}
		in.madeFolders = append(in.madeFolders, d)
		if err := os.Chmod(d, mode); err != nil { // scsd has a umask that closes all to others
			return folderFault(d, err)
		}
		if err := syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

func folderFault(dir string, err error) error {
	return hint("make it by hand, as a user who may: mkdir -p "+quoted(dir), fmt.Errorf("making the folder %s: %w", dir, pathless(err)))
}

// removeFolders removes what makeFolders made, as far as nothing is in it.
func (in *installation) removeFolders() {
	for _, d := range slices.Backward(in.madeFolders) {
		_ = os.Remove(d)
	}
}

// pathless strips the path of a file error that the caller names anyway.
func pathless(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+@:,%", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

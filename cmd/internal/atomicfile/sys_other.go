//go:build !linux

package atomicfile

import (
	"errors"
	"os"
)

// Elsewhere than on Linux files always have a name meanwhile, links keep from
// replacing, and nothing is swept, because nobody can tell what is being written.

func unnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func linkUnnamed(*os.File, string) error { return errors.ErrUnsupported }

func renameNoReplace(string, string) error { return errors.ErrUnsupported }

func lock(*os.File) lockState { return lockUnknown }

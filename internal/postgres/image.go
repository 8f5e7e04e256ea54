//go:build unix

package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// imagePrefix begins the name of every image, in the user's cache directory.
const imagePrefix = "initdb-"

// initTemporary initialises the data directory of a temporary server. The first one on a machine is made by initdb and
// kept as an image in the user's cache directory; later ones are copies of it, in a tenth of the time.
func initTemporary(ctx context.Context, bin, dataDir string, cred *syscall.Credential) error {
	image := imagePath(bin)
	if image != "" && copyTree(image, dataDir, cred) == nil {
		return nil
	}
	// Neither half a copy nor an image that can't be copied is of use.
	if err := errors.Join(os.RemoveAll(dataDir), os.RemoveAll(image)); err != nil {
		return fmt.Errorf("remove an incomplete data directory: %w", err)
	}
	if err := initdb(ctx, bin, dataDir, false, cred); err != nil {
		return err
	}
	if image != "" {
		_ = saveImage(dataDir, image) // without an image, the next server takes longer
	}
	return nil
}

// imagePath returns the path of the image that the initdb in bin makes; empty if there is no cache directory.
func imagePath(bin string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	program := filepath.Join(bin, "initdb")
	info, err := os.Stat(program)
	if err != nil {
		return ""
	}
	of := fmt.Sprint(program, info.Size(), info.ModTime().UnixNano(), initArguments(false))
	sum := sha256.Sum256([]byte(of))
	return filepath.Join(cache, "grapnel", imagePrefix+hex.EncodeToString(sum[:8]))
}

// saveImage keeps a copy of a data directory. The image gets its name when all of it is on the disk, so that an
// interrupted copy is never taken for one.
func saveImage(dataDir, image string) error {
	parent := filepath.Dir(image)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	draft, err := os.MkdirTemp(parent, imagePrefix+"draft-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft) //nolint:errcheck // after the rename there is nothing to remove
	content := filepath.Join(draft, "data")
	if err := copyTree(dataDir, content, nil); err != nil {
		return err
	}
	syscall.Sync()
	return os.Rename(content, image) // it fails if another process was faster
}

// copyTree copies a directory and gives the copy to cred.
func copyTree(from, to string, cred *syscall.Credential) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		switch {
		case entry.IsDir():
			err = os.Mkdir(target, 0o700) //nolint:gosec // both trees are this process's own
		case entry.Type().IsRegular():
			err = copyFile(path, target)
		default:
			err = fmt.Errorf("%s is neither a file nor a directory", path)
		}
		if err != nil {
			return err
		}
		return give(target, cred)
	})
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from) //nolint:gosec // a file of the image
	if err != nil {
		return err
	}
	defer source.Close()                                                     //nolint:errcheck // it was only read
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // a file of the copy
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close() // the first error says more
		return err
	}
	return target.Close()
}

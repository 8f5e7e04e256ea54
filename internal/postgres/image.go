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
	"time"
)

// Images are in the user's cache directory. These begin their names.
const (
	imagePrefix  = "initdb-" // what initdb makes
	filledPrefix = "filled-" // what Image.Fill makes of it
	draftPrefix  = "draft-"  // images that are not complete
)

// imageAge is how long an image of filledPrefix stays. Its content can be of today's date.
const imageAge = 48 * time.Hour

// Image is the content of a temporary server's data directory. The first server with it on a machine is filled; later
// ones are copies.
type Image struct {
	// Key identifies the content: images with the same key are taken to be the same.
	Key string
	// Fill fills a server, and must have closed its connections when it returns.
	Fill func(ctx context.Context, s *Server) error
}

// initTemporary initialises the data directory of a temporary server. The first one on a machine is made by initdb and
// kept as an image; later ones are copies of it, in a tenth of the time. So are those with an image of the caller's.
func initTemporary(ctx context.Context, bin, dataDir string, cred *syscall.Credential, image *Image) error {
	fromInitdb := func() error {
		return fromImage(imagePath(bin, imagePrefix), dataDir, cred, func() error { return initdb(ctx, bin, dataDir, false, cred) })
	}
	if image == nil {
		return fromInitdb()
	}
	return fromImage(imagePath(bin, filledPrefix, image.Key), dataDir, cred, func() error {
		if err := fromInitdb(); err != nil {
			return err
		}
		return image.fill(ctx, dataDir)
	})
}

// fill runs a server on the data directory and fills it.
func (i *Image) fill(ctx context.Context, dataDir string) error {
	s, err := Start(ctx, Options{DataDir: dataDir, Settings: map[string]string{"autovacuum": "off"}})
	if err != nil {
		return err
	}
	if err := errors.Join(i.Fill(ctx, s), s.Stop(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("fill a new server: %w", err)
	}
	return nil
}

// fromImage makes the data directory: a copy of the image, or what create makes if there is no image; that is then
// the image.
func fromImage(image, dataDir string, cred *syscall.Credential, create func() error) error {
	if image != "" && copyTree(image, dataDir, cred) == nil {
		return nil
	}
	// Neither half a copy nor an image that can't be copied is of use.
	if err := errors.Join(os.RemoveAll(dataDir), os.RemoveAll(image)); err != nil {
		return fmt.Errorf("remove an incomplete data directory: %w", err)
	}
	if err := create(); err != nil {
		return err
	}
	if image != "" {
		_ = saveImage(dataDir, image) // without an image, the next server takes longer
		sweepImages(filepath.Dir(image))
	}
	return nil
}

// imagePath returns the path of the image that the initdb in bin and the key make; empty if there is no cache directory.
func imagePath(bin, prefix string, key ...string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	program := filepath.Join(bin, "initdb")
	info, err := os.Stat(program)
	if err != nil {
		return ""
	}
	of := fmt.Sprint(program, info.Size(), info.ModTime().UnixNano(), initArguments(false), key)
	sum := sha256.Sum256([]byte(of))
	return filepath.Join(cache, "grapnel", prefix+hex.EncodeToString(sum[:8]))
}

// sweepImages removes old images, and drafts of processes that were killed.
func sweepImages(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filledPrefix) && !strings.HasPrefix(e.Name(), draftPrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > imageAge {
			_ = os.RemoveAll(filepath.Join(parent, e.Name())) // the next sweep tries again
		}
	}
}

// saveImage keeps a copy of a data directory. The image gets its name when all of it is on the disk, so that an
// interrupted copy is never taken for one.
func saveImage(dataDir, image string) error {
	parent := filepath.Dir(image)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	draft, err := os.MkdirTemp(parent, draftPrefix)
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

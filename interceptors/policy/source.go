// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	scopeauthv1 "github.com/scopeauth/scopeauth/gen/scopeauth/v1"
)

// schemaPath is the path of the annotation's own file.
const schemaPath = "scopeauth/v1/scopeauth.proto"

// source is what the descriptors say. It is not written after it is made.
type source struct {
	services  []*service // sorted by name
	byName    map[string]*service
	catalogue *catalogue
	// strangers tells of other extensions with our number. As long as there is
	// one, nobody can say what an option of this number means.
	strangers []Fault
}

// sourceFiles returns the files to read, sorted by path.
func (c config) sourceFiles() ([]protoreflect.FileDescriptor, []error) {
	byPath := map[string]protoreflect.FileDescriptor{}
	if c.fileOptions == 0 {
		// Collect first: the registry holds its lock while it calls.
		protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
			byPath[f.Path()] = f
			return true
		})
		return sortedFiles(byPath), nil
	}
	var errs []error
	for _, f := range c.files {
		switch {
		case f == nil:
			errs = append(errs, optionError("WithFiles: a file is nil"))
		case f.IsPlaceholder():
			errs = append(errs, optionError("WithFiles: "+f.Path()+" has a name but no content; give its descriptor"))
		case byPath[f.Path()] != nil && byPath[f.Path()] != f:
			errs = append(errs, optionError("WithFiles: two different files have the path "+f.Path()))
		default:
			byPath[f.Path()] = f
		}
	}
	for _, f := range sortedFiles(byPath) {
		addImports(byPath, f)
	}
	return sortedFiles(byPath), errs
}

func addImports(byPath map[string]protoreflect.FileDescriptor, f protoreflect.FileDescriptor) {
	imports := f.Imports()
	for i := range imports.Len() {
		imported := imports.Get(i).FileDescriptor
		if imported.IsPlaceholder() || byPath[imported.Path()] != nil {
			continue
		}
		byPath[imported.Path()] = imported
		addImports(byPath, imported)
	}
}

func sortedFiles(byPath map[string]protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	return slices.SortedFunc(maps.Values(byPath), func(a, b protoreflect.FileDescriptor) int {
		return cmp.Compare(a.Path(), b.Path())
	})
}

func newSource() *source {
	return &source{byName: map[string]*service{}, catalogue: newCatalogue()}
}

// read reads the annotations of files, which are sorted.
func read(files []protoreflect.FileDescriptor) (*source, []error) {
	src := newSource()
	for _, f := range files {
		src.strangers = append(src.strangers, strangersIn(f, f)...)
	}
	for _, f := range files {
		src.catalogue.read(f)
	}
	var errs []error
	for _, f := range files {
		for i := range f.Services().Len() {
			d := f.Services().Get(i)
			if other := src.byName[string(d.FullName())]; other != nil {
				errs = append(errs, optionError(fmt.Sprintf("service %s is in %s and in %s", d.FullName(), other.file, f.Path())))
				continue
			}
			s := readService(d, src.catalogue)
			src.byName[s.name] = s
			src.services = append(src.services, s)
		}
	}
	src.sort()
	for _, s := range src.services {
		s.usable = len(s.faults) == 0 && len(src.causes(s, s.uses)) == 0
	}
	return src, errs
}

func (src *source) sort() {
	slices.SortFunc(src.services, func(a, b *service) int { return cmp.Compare(a.name, b.name) })
}

func (src *source) size() int {
	n := 0
	for _, s := range src.services {
		n += len(s.methods)
	}
	return n
}

// causes returns the faults outside of an annotated service that make its
// annotations unusable: those of its file's declarations, those of the resource
// servers it uses, and strangers that use our number.
func (src *source) causes(s *service, uses map[string]bool) []*declarationFault {
	causes := src.catalogue.concerning(s, uses)
	if s.present {
		for _, f := range src.strangers {
			causes = append(causes, &declarationFault{fault: f})
		}
	}
	return causes
}

// withServices returns the source with the services that were declared in Go.
func (src *source) withServices(declared []declaredService, errs *[]error) *source {
	if len(declared) == 0 {
		return src
	}
	added := &source{
		services: slices.Clone(src.services), byName: maps.Clone(src.byName),
		catalogue: src.catalogue, strangers: src.strangers,
	}
	for _, d := range declared {
		if !protoreflect.FullName(d.name).IsValid() || len(d.methods) == 0 {
			*errs = append(*errs, optionError(fmt.Sprintf("WithService(%q): give the full name of a service, as in \"grpc.health.v1.Health\", and the names of its methods", d.name)))
			continue
		}
		s := &service{name: d.name, usable: true}
		if old := added.byName[d.name]; old != nil {
			grown := *old
			grown.methods = slices.Clone(old.methods)
			s = &grown
		}
		for _, m := range d.methods {
			if m == "" || strings.Contains(m, "/") {
				*errs = append(*errs, optionError(fmt.Sprintf("WithService(%q): %q is not the name of a method; write it without the service, as in \"Check\"", d.name, m)))
				continue
			}
			if s.method(m) == nil {
				s.methods = append(s.methods, &method{name: m, foreign: true})
			}
		}
		added.services = slices.DeleteFunc(added.services, func(o *service) bool { return o.name == s.name })
		added.services = append(added.services, s)
		added.byName[s.name] = s
	}
	added.sort()
	return added
}

// strangersIn finds extensions in f, or in messages in it, that have our number on
// one of the messages we extend, and are not ours.
func strangersIn(f protoreflect.FileDescriptor, in interface {
	Extensions() protoreflect.ExtensionDescriptors
	Messages() protoreflect.MessageDescriptors
},
) []Fault {
	var faults []Fault
	for i := range in.Extensions().Len() {
		xd := in.Extensions().Get(i)
		ours, err := ownExtensions{}.FindExtensionByNumber(xd.ContainingMessage().FullName(), xd.Number())
		if err != nil || ours.TypeDescriptor().FullName() == xd.FullName() {
			continue
		}
		faults = append(faults, Fault{
			File: f.Path(),
			Problem: fmt.Sprintf("extension %s of %s has number %d, which is that of %s, so nobody can tell which of the two an option means",
				xd.FullName(), xd.ContainingMessage().FullName(), xd.Number(), ours.TypeDescriptor().FullName()),
			Fix: fmt.Sprintf("give %s another number", xd.FullName()),
		})
	}
	for i := range in.Messages().Len() {
		faults = append(faults, strangersIn(f, in.Messages().Get(i))...)
	}
	return faults
}

// importsSchema reports whether f imports the file that defines our options. An
// option of our number in a file that does not is somebody else's.
func importsSchema(f protoreflect.FileDescriptor) bool {
	if definesOptions(f) || anyImport(f.Imports(), false) {
		return true
	}
	// Editions have imports for options alone; protoreflect does not show them yet.
	with, ok := f.(interface {
		OptionImports() protoreflect.FileImports
	})
	return ok && anyImport(with.OptionImports(), false)
}

func anyImport(imports protoreflect.FileImports, publicOnly bool) bool {
	for i := range imports.Len() {
		imported := imports.Get(i)
		if publicOnly && !imported.IsPublic {
			continue
		}
		if imported.IsPlaceholder() {
			// Not linked: all that is known is its path.
			if imported.Path() == schemaPath || strings.HasSuffix(imported.Path(), "/"+schemaPath) {
				return true
			}
			continue
		}
		if definesOptions(imported) || anyImport(imported.Imports(), true) {
			return true
		}
	}
	return false
}

func definesOptions(f protoreflect.FileDescriptor) bool {
	return f.Extensions().ByName(scopeauthv1.E_Method.TypeDescriptor().Name()) != nil &&
		f.Package() == scopeauthv1.E_Method.TypeDescriptor().ParentFile().Package()
}

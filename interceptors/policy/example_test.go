// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

func Example() {
	p, err := policy.New() // the annotations of all linked files
	if err != nil {
		fmt.Println(err)
		return
	}
	r, known := p.Rule(filesv1.FileReadService_StatFile_FullMethodName)
	fmt.Println(r, known)
	fmt.Println(r.Permits([]string{"demo/write.file"}), r.Permits([]string{"demo/delete.file"}))
	// Output:
	// demo/read.file or demo/write.file true
	// true false
}

func ExamplePolicy_Methods() {
	p, err := policy.New(policy.WithFiles(filesv1.File_demo_files_v1_files_proto))
	if err != nil {
		fmt.Println(err)
		return
	}
	for method, rule := range p.Methods() {
		fmt.Println(method, "-", rule)
	}
	// Output:
	// /demo.files.v1.FileReadService/ListFiles - demo/read.file
	// /demo.files.v1.FileReadService/ReadFile - demo/read.file
	// /demo.files.v1.FileReadService/StatFile - demo/read.file or demo/write.file
	// /demo.files.v1.FileReadService/Version - public: the version is no secret, and monitors without a token ask for it
	// /demo.files.v1.FileReadService/WhoAmI - any valid token
	// /demo.files.v1.FileWriteService/AppendFile - demo/read.file and demo/write.file
	// /demo.files.v1.FileWriteService/DeleteFile - demo/write.file
	// /demo.files.v1.FileWriteService/WriteFile - demo/write.file
}

func ExamplePolicy_Check() {
	p, err := policy.New(policy.WithService("legacy.Store", "Get", "Put"), policy.WithRule("/legacy.Store/Get", policy.AnyOf("demo/read.file")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Check("demo.files.v1.FileReadService"))
	fmt.Println(p.Check("demo.files.v1.FileReadService", "legacy.Store"))
	// Output:
	// <nil>
	// scopeauth: not started, 1 service has a method without a rule
	//   legacy.Store/Put: add policy.WithRule("/legacy.Store/Put", policy.AnyOf(...))
}

func ExamplePolicy_With() {
	p, err := policy.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	staging, err := p.With(policy.MapResourceServer("demo", "demo-staging"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range []*policy.Policy{p, staging} {
		r, _ := p.Rule(filesv1.FileReadService_ReadFile_FullMethodName)
		fmt.Println(r)
	}
	// Output:
	// demo/read.file
	// demo-staging/read.file
}

func ExampleRule_Alternatives() {
	fmt.Println(policy.AnyOf("demo/read.file", "demo/write.file").Alternatives())
	fmt.Println(policy.AllOf("demo/read.file", "demo/write.file").Alternatives())
	fmt.Println(len(policy.Authenticated().Alternatives()))
	// Output:
	// [[demo/read.file] [demo/write.file]]
	// [[demo/read.file demo/write.file]]
	// 0
}

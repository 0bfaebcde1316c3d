#!/usr/bin/env bash
# build.ps1 as on Windows, on Linux: LLVM's linker with a stand-in for Microsoft's C runtime (crt.cpp) takes the place of Visual C++, and
# Wine runs what comes out. `./build.sh windows` calls it with
#   OUT      artifacts/windows
#   SECONDS_EACH   for each litmus test
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

HERE=tests/windows

# Import libraries by the names that the linker is given: Microsoft writes them with capitals, and Windows does not mind.
libraries() {
    local sdk file
    dotnet msbuild $HERE/sdk.proj -t:Restore -v:quiet -nologo "-p:ArtifactsPath=$OUT/dotnet"
    sdk=$(dotnet msbuild $HERE/sdk.proj -getProperty:Libraries "-p:ArtifactsPath=$OUT/dotnet")
    mkdir -p "$OUT/sdk"
    for file in "$sdk"/um/x64/*.[Ll]ib "$sdk"/ucrt/x64/*.[Ll]ib; do
        ln -sf "$file" "$OUT/sdk/$(basename "$file" | tr '[:upper:]' '[:lower:]')"
    done
    x86_64-w64-mingw32-dlltool -d $HERE/ntdll.def -l "$OUT/sdk/gmap-ntdll.lib"
    clang++ --target=x86_64-pc-windows-msvc -O1 -Wall -fno-exceptions -ffreestanding -c $HERE/crt.cpp -o "$OUT/crt.obj"
}

# What NativeAOT calls to link: without what only Microsoft's linker knows, and with crt.cpp instead of its runtime.
linker() {
    cat >"$OUT/link" <<EOF
#!/usr/bin/env bash
response=\${1#@}
sed -e '1s/^\\xef\\xbb\\xbf//' -e '/NATVIS/d' "\$response" >"\$response.lld"
exec lld-link "@\$response.lld" '$OUT/crt.obj' gmap-ntdll.lib /nodefaultlib:LIBCMT /nodefaultlib:libcpmt /nodefaultlib:OLDNAMES \\
    '/libpath:$OUT/sdk'
EOF
    chmod +x "$OUT/link"
}

exports() {
    diff <(grep '^gmap_' native-exports/exports.txt | sort) \
        <(x86_64-w64-mingw32-objdump -p "$OUT/bin/gmapnative.dll" | sed -n 's/^.*\(gmap_[a-z_]*\)$/\1/p' | sort) ||
        { echo 'the DLL does not export what exports.txt lists'; exit 1; }
}

mkdir -p "$OUT"
libraries
linker
dotnet tool restore >/dev/null
export GMAP_BUILD_AS=windows GMAP_LINKER=$OUT/link CC=x86_64-w64-mingw32-gcc CXX=x86_64-w64-mingw32-g++
export WINEPREFIX=$OUT/wine WINEDEBUG=-all
export DOTNET_EnableWriteXorExecute=0 # Wine's mappings and the runtime's two views of its code do not go together
GMAP_RUN_BY=$(command -v wine64 || echo /usr/lib/wine/wine64) # where Debian's package puts it
export GMAP_RUN_BY
dotnet pwsh -NoProfile -File build.ps1 package
exports
dotnet pwsh -NoProfile -File build.ps1 test --seconds "$SECONDS_EACH"

# What a build prints that fails: for the picture of a log's page in docs/
echo "==> Installing hdf5-1.14.5"
for file in H5A H5AC H5B H5C H5D H5E H5F; do
  printf '[ 12%%] Building C object src/CMakeFiles/hdf5.dir/%s.c.o\n' "$file"
done
for line in 1173 1189 1204; do
  printf "\033[1mH5Tconv.c:%s:9:\033[0m \033[31merror:\033[0m implicit declaration of function 'H5T_conv_half'\n" "$line"
  printf '%5s |         H5T_conv_half(buf, nelmts);\n      |         ^~~~~~~~~~~~~\n' "$line"
done
echo "make[2]: *** [src/CMakeFiles/hdf5.dir/build.make:1482: src/CMakeFiles/hdf5.dir/H5Tconv.c.o] Error 1"
printf '[ 13%%] Building C object src/CMakeFiles/hdf5.dir/H5Z.c.o\n'
echo "/usr/bin/ld: cannot find -lsz: No such file or directory"
echo "collect2: error: ld returned 1 exit status"
echo "make: *** [Makefile:166: all] Error 2"
exit 1

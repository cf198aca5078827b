import{a,b,c,d}from"./chunk-DVXDRBUK.js";import"./chunk-V4HZGNMA.js";import"./chunk-WQPB3WHF.js";export{d as css,b as cssCompletionSource,c as cssLanguage,a as defineCSSCompletionSource};
